import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from adarank.pipeline.adapters.reading import read_adapter
from tests.adarank.pipeline.adapters.pico_adapters import bert_adapter, gpt2_adapter


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_adapter(tmp_path_factory.mktemp("bert") / "adapter")


def planned(folder: Path) -> list[dict[str, Any]]:
    """The adapter as a plan has it: names of the base model, alphas."""
    return [
        {
            "name": part.name.removeprefix("bert."),
            "rank": part.rank,
            "alpha": part.scale * part.rank,
            "parameters": part.parameters,
        }
        for part in read_adapter(folder).parts
    ]


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_it_shows_what_is_saved(folder: Path) -> None:
    result = verify(folder)
    assert result.exit_code == 0
    parts = read_adapter(folder).parts
    assert f"{sum(part.parameters for part in parts):,}" in result.output
    assert "classifier.weight" in result.output


@pytest.mark.parametrize("form", ["plan", "ranks"])
def test_an_adapter_that_follows_its_plan(folder: Path, tmp_path: Path, form: str) -> None:
    modules = [*planned(folder), {"name": "pooler.dense", "rank": 0, "alpha": 0.0, "parameters": 0}]
    value = {"modules": modules} if form == "plan" else {"r": 9, "about": {"modules": modules}}
    result = verify(folder, "--plan", write(tmp_path / "p.json", value))
    assert result.exit_code == 0, result.output
    assert "modules as planned" in result.output


def test_lora_configs_own_arguments_are_a_plan(tmp_path: Path) -> None:
    folder = gpt2_adapter(tmp_path / "a", rank_pattern={r"h\.0\..*c_fc": 3})
    config = json.loads((folder / "adapter_config.json").read_text())
    targets = [part.name for part in read_adapter(folder).parts]
    arguments = {"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"}
    value = {name: config[name] for name in arguments} | {"target_modules": targets}
    path = write(tmp_path / "p.json", value)
    assert verify(folder, "--plan", path).exit_code == 0
    path = write(tmp_path / "p.json", value | {"use_rslora": False})
    assert verify(folder, "--plan", path).exit_code == 1


@pytest.mark.parametrize("made", [bert_adapter, gpt2_adapter])
def test_an_adapter_follows_its_own_configuration(made: Any, tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    config = folder / "adapter_config.json"
    result = verify(folder, "--plan", config)
    assert result.exit_code == 0, result.output
    value = json.loads(config.read_text())
    targets = [*value["target_modules"], "no_such_module"]
    path = write(tmp_path / "p.json", value | {"target_modules": targets})
    result = verify(folder, "--plan", path)
    assert result.exit_code == 1 and "no_such_module" in result.output
    assert result.output.count("the adapter differs from the plan") == 1


@pytest.mark.parametrize("entry", ["rank", "alpha", "parameters"])
def test_every_module_that_differs_is_named(folder: Path, tmp_path: Path, entry: str) -> None:
    modules = planned(folder)
    modules[0][entry] += 1
    modules[-1][entry] += 1
    result = verify(folder, "--plan", write(tmp_path / "p.json", {"modules": modules}))
    assert result.exit_code == 1
    assert result.output.count("the adapter differs from the plan") == 2
    assert modules[0]["name"] in result.output


def test_modules_too_many_or_too_few(folder: Path, tmp_path: Path) -> None:
    modules = planned(folder)[1:]
    modules.append({"name": "pooler.dense", "rank": 2, "alpha": 2.0, "parameters": 128})
    result = verify(folder, "--plan", write(tmp_path / "p.json", {"modules": modules}))
    assert result.exit_code == 1
    assert "got:      no adapter" in result.output and "expected: no adapter" in result.output


@pytest.mark.parametrize("value", [{}, [], {"modules": [{"name": "a"}]}, {"modules": 3}])
def test_what_is_no_plan(folder: Path, tmp_path: Path, value: object) -> None:
    result = verify(folder, "--plan", write(tmp_path / "p.json", value))
    assert result.exit_code == 2 and "no plan of ranks" in result.output


@pytest.mark.parametrize("name", ["absent.json", "torn.json", ""])
def test_a_plan_that_cannot_be_read_is_not_to_be_deleted(
    folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "torn.json").write_text("model: {}")
    result = verify(folder, "--plan", str(tmp_path / name))
    assert result.exit_code == 2 and "no plan of ranks" in result.output
    assert "delete" not in result.output and "dvc" not in result.output
