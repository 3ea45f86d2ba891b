"""Code beside a model's weights: run where model.trust_remote_code says so, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adarank.errors import InputError
from adarank.pipeline.artifacts.model import load_tokenizer
from stages import download, score
from tests.pico import save_pico_model

CODE = """
from pathlib import Path
Path({flag!r}).touch()
from transformers import BertConfig, BertModel

class {name}Config(BertConfig):
    model_type = "{kind}"

class {name}Model(BertModel):
    config_class = {name}Config
"""
TOKENIZER = """
from pathlib import Path
Path({flag!r}).touch()
from transformers import PreTrainedTokenizerFast

class PicoTokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, with transformers' copies of foreign code in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "mods")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "mods"))
    return tmp_path


def model_with_code(folder: Path, kind: str, *, auto_map: dict[str, str] | None = None) -> Path:
    """A pico BERT under a model type that only the code beside it knows."""
    save_pico_model(folder)
    name = kind.capitalize()
    flag = str(folder.parent / "ran")
    (folder / "modeling_pico.py").write_text(CODE.format(flag=flag, name=name, kind=kind))
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": f"modeling_pico.{name}Config", "AutoModel": f"modeling_pico.{name}Model"}
    config |= {"model_type": kind, "auto_map": auto_map or code}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def fetch(folder: Path, *, trusted: bool) -> Result:
    """Run `download model` on a folder."""
    section = {"source": f"file:{folder}", "convert_pickle": False, "sha256": {}}
    section |= {"trust_remote_code": trusted}
    Path("params.yaml").write_text(json.dumps({"model": section}))
    return CliRunner().invoke(download.app, ["model"])


def scored(*, trusted: bool) -> Result:
    """Run `score --signal stable_rank` on what was fetched."""
    from tests.stages.test_score import PARAMS

    params = PARAMS | {"model": {"source": "not read", "trust_remote_code": trusted}}
    Path("params.yaml").write_text(json.dumps(params))
    return CliRunner().invoke(score.app, ["--signal", "stable_rank"])


def test_off_the_code_stays_where_it_is_and_the_key_is_named(project):
    result = fetch(model_with_code(project / "source", "picoa"), trusted=False)
    assert result.exit_code == 2
    assert "model.trust_remote_code: true" in result.output and "modeling_pico" in result.output
    assert not (project / "ran").exists() and not Path("data/model").exists()


def test_on_the_code_is_fetched_recorded_and_run_with_a_warning(project):
    result = fetch(model_with_code(project / "source", "picob"), trusted=True)
    assert result.exit_code == 0, result.output
    assert "modeling_pico.py" in json.loads(Path("data/sources/model.json").read_text())["sha256"]
    assert not (project / "ran").exists(), "fetching runs nothing"
    result = scored(trusted=True)
    assert result.exit_code == 0, result.output
    assert (project / "ran").exists() and "WARNING" in result.output
    assert Path("data/scores/model/stable_rank.parquet").exists()


def test_a_stage_that_has_no_leave_does_not_run_code_that_is_there(project):
    shutil.copytree(model_with_code(project / "source", "picoc"), "data/model")
    result = scored(trusted=False)
    assert result.exit_code == 2 and "model.trust_remote_code: true" in result.output
    assert not (project / "ran").exists()


def test_a_native_type_is_loaded_without_the_code_beside_it(project):
    folder = model_with_code(project / "source", "picod")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    result = fetch(folder, trusted=False)
    assert result.exit_code == 0 and "is not run" in result.output
    assert [path.name for path in Path("data/model").glob("*.py")] == []
    assert scored(trusted=False).exit_code == 0
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    "reference", ["org/evil--modeling_pico.PicoeModel", "../modeling_pico.Model", "os.system", "x"]
)
def test_on_code_of_elsewhere_is_still_refused(project, reference):
    auto_map = {"AutoConfig": reference, "AutoModel": reference}
    folder = model_with_code(project / "source", "picoe", auto_map=auto_map)
    assert fetch(folder, trusted=True).exit_code == 0
    result = scored(trusted=True)
    assert result.exit_code == 2 and "does not lie beside the weights" in result.output
    assert not (project / "ran").exists()


def test_code_that_breaks_is_told(project):
    folder = model_with_code(project / "source", "picof")
    (folder / "modeling_pico.py").write_text("raise RuntimeError('too old')\n")
    assert fetch(folder, trusted=True).exit_code == 0
    result = scored(trusted=True)
    assert result.exit_code == 2 and "too old" in result.output and "remedy" in result.output


def test_a_tokenizer_s_code_is_not_run(project):
    folder = save_pico_model(project / "data/model")
    code = TOKENIZER.format(flag=str(project / "ran"))
    (folder / "tokenization_pico.py").write_text(code)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoTokenizer": [None, "tokenization_pico.PicoTokenizer"]}
    path.write_text(json.dumps(config | {"tokenizer_class": "PicoTokenizer"}))
    try:
        load_tokenizer(folder)
    except Exception as error:
        assert "trust_remote_code" in str(error), error
    (folder / "config.json").unlink()  # nothing now says of which other class it could be
    with pytest.raises(InputError, match=r"(?s)needs the code.*model\.trust_remote_code: true"):
        load_tokenizer(folder)
    assert not (project / "ran").exists()
