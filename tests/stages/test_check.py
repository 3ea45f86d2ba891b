"""The whole params file checked at once; every file that ships with the project is good."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML
from typer.testing import CliRunner

from stages.check import SCHEMAS, app, check

ROOT = Path(__file__).parents[2]
SHIPPED = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(folder: Path, **values: Any) -> Path:
    """Write params.yaml with some keys set; `score__trials=0` sets score.trials."""
    params = YAML(typ="safe").load(SHIPPED[0])
    for keys, value in values.items():
        section, _, key = keys.partition("__")
        (params[section] if key else params)[key or section] = value
    path = folder / "params.yaml"
    YAML(typ="safe").dump(params, path)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_good(path: Path) -> None:
    assert check(path) == []


def test_all_problems_of_all_stages_at_once(folder: Path) -> None:
    path = changed(
        folder,
        scores={},
        score__trials=0,
        study__strategies=["uniform", "disagrement"],
        study__seeds=[1, 1],
        finetune__rate=0.1,
        evaluate__batch_size="many",
    )
    result = CliRunner().invoke(app, ["--params", str(path)])
    assert result.exit_code == 2
    for said in (
        "scores: unknown section",
        "score.trials",
        "disagrement",
        "any of: uniform, disagreement, reversed, permuted",
        "more than once: 1",
        "finetune.rate: unknown key",
        "evaluate.batch_size",
    ):
        assert said in result.output, said
    assert "Traceback" not in result.output


def test_a_problem_that_several_stages_see_is_told_once(folder: Path) -> None:
    found = [str(p) for p in check(changed(folder, study__seeds=[1, 1]))]
    assert len(found) == 1 and "study.seeds" in found[0]


def test_a_good_file_exits_zero() -> None:
    result = CliRunner().invoke(app, ["--params", str(SHIPPED[0])])
    assert result.exit_code == 0, result.output


def test_the_readme_explains_every_parameter() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    keys = [key for schema in SCHEMAS for key in leaves(schema) if "." in key]
    assert [key for key in dict.fromkeys(keys) if f"| `{key}` | " not in readme] == []
    assert "` |  |" not in readme, "a key without a meaning"


def leaves(schema: type[BaseModel], above: str = "") -> list[str]:
    found: list[str] = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += leaves(inner, f"{above}{name}.")
        else:
            found.append(f"{above}{name}")
    return found
