"""Checkpoints made to run code: tried by every source's way in, and by the stages that load."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from adarank.commands.app import app as command
from stages import download, score
from tests.pico import save_pico_model


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture(autouse=True)
def ran(tmp_path, monkeypatch):
    """The file that code of a checkpoint would write; it must not be there in the end."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("ADARANK_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists(), "the checkpoint's code was run"


def poisoned(folder: Path, ran: Path, name: str) -> Path:
    """A pico model whose weights are a pickle with code, under some name."""
    save_pico_model(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Trap(ran)}, folder / name)
    return folder


def fetch(folder: Path, *, convert: bool) -> Result:
    """Run `download model` on a folder."""
    section = {"source": f"file:{folder}", "convert_pickle": convert, "sha256": {}}
    section |= {"trust_remote_code": False}
    Path("params.yaml").write_text(json.dumps({"model": section}))
    return CliRunner().invoke(download.app, ["model"])


def scored() -> Result:
    """Run `score` on whatever is in data/model."""
    from tests.stages.test_score import PARAMS

    Path("params.yaml").write_text(json.dumps(PARAMS))
    return CliRunner().invoke(score.app, ["--signal", "stable_rank"])


def refused(result: Result) -> None:
    """It ended with a clear error."""
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output and "got:" in result.output


def test_the_trap_does_catch(tmp_path):
    trap = tmp_path / "trap"
    torch.save(Trap(trap), tmp_path / "x.bin")
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert trap.exists()


@pytest.mark.parametrize("convert", [False, True])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_downloaded(tmp_path, ran, name, convert):
    refused(fetch(poisoned(tmp_path / "source", ran, name), convert=convert))
    assert not Path("data/model").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_scored_where_it_got_in_otherwise(tmp_path, ran, name):
    shutil.copytree(poisoned(tmp_path / "source", ran, name), "data/model")
    refused(scored())
    result = CliRunner().invoke(command, ["ranks", "data/model"])
    assert result.exit_code == 2, (result.output, result.exception)


def test_weights_that_are_pickles_beside_good_ones_are_not_fetched(tmp_path, ran):
    folder = save_pico_model(tmp_path / "source")
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "adapter_model.bin"):
        torch.save(Trap(ran), folder / name)
    result = fetch(folder, convert=True)
    assert result.exit_code == 0, result.output
    assert {path.suffix for path in Path("data/model").iterdir()} == {".json", ".safetensors"}
    assert scored().exit_code == 0


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}, "model_type": "x"},
        {"auto_map": {"AutoModel": "org/evil--evil.Model"}, "model_type": "x"},
        {"architectures": ["os"]},
        {"architectures": [{"__reduce__": "x"}]},
        {"quantization_config": {"quant_method": "evil"}},
        {"torch_dtype": "__import__('os')"},
    ],
)
def test_a_config_that_points_at_code(tmp_path, ran, config):
    folder = save_pico_model(tmp_path / "source")
    (folder / "evil.py").write_text(
        f"open({str(ran)!r}, 'w')\nclass Model: pass\nclass Config: pass"
    )
    whole = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(whole))
    if fetch(folder, convert=False).exit_code == 0:
        result = scored()
        assert result.exit_code in (0, 2), (result.output, result.exception)


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": "org/evil"},
        {"_attn_implementation": "org/evil@main:kernel"},
        {"text_config": {"_attn_implementation": {"": "org/evil"}}},
    ],
)
def test_a_config_whose_attention_is_code_of_a_repository(tmp_path, config):
    folder = save_pico_model(tmp_path / "source")
    whole = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(whole))
    refused(fetch(folder, convert=False))
    shutil.copytree(folder, "data/model")
    refused(scored())


@pytest.mark.parametrize("name", ["../../params.yaml", "/etc/hostname", "..", 7, None])
def test_an_index_of_pickled_shards_stays_in_its_folder(tmp_path, name):
    folder = save_pico_model(tmp_path / "source")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model-00001-of-00001.bin")
    index = {"weight_map": {"weight": name}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    refused(fetch(folder, convert=True))
