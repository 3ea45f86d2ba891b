"""The scripts of examples/ run as their README says, on a pico model."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from transformers import AutoModel

from tests.pico import pico_bert_config, pico_tokenizer

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = "text,label\n" + "who did live in the city,person\nwhere is the river,place\n" * 8


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    AutoModel.from_config(pico_bert_config()).save_pretrained(folder / "model")
    pico_tokenizer().save_pretrained(folder / "model")
    (folder / "rows.csv").write_text(ROWS)
    return folder


def run(name: str, *arguments: Path | str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.fixture(scope="module")
def trained(pico: Path) -> Path:
    """What ranks_then_train.py writes."""
    out = pico / "trained"
    run("ranks_then_train", pico / "model", pico / "rows.csv", out)
    return out


def test_every_example_is_tested() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"ranks_then_train", "resume", "custom_strategy"}


def test_the_trained_adapter_has_the_plans_ranks(trained: Path) -> None:
    plan = json.loads((trained / "plan.json").read_text())
    ranks = {module["name"]: module["rank"] for module in plan["modules"] if module["rank"]}
    weights = load_file(trained / "adapter_model.safetensors")
    saved = {
        name.removeprefix("base_model.model.bert.").removesuffix(".lora_A.weight"): len(value)
        for name, value in weights.items()
        if name.endswith(".lora_A.weight")
    }
    assert saved == ranks and len(set(ranks.values())) > 1
    assert any(value.any() for name, value in weights.items() if "lora_B" in name), "it learned"


def test_an_interrupted_run_ends_as_an_uninterrupted_one(pico: Path, trained: Path) -> None:
    whole, cut = pico / "whole", pico / "cut"
    for out in (whole, cut):
        out.mkdir()
        shutil.copy(trained / "plan.json", out)
    run("resume", pico / "model", pico / "rows.csv", whole)
    # A run that was killed after step 10: its checkpoints, and no later ones.
    for step in (5, 10):
        shutil.copytree(whole / f"runs/checkpoint-{step}", cut / f"runs/checkpoint-{step}")
    early = cut / "runs/checkpoint-5/trainer_state.json"
    written = early.stat().st_mtime_ns
    run("resume", pico / "model", pico / "rows.csv", cut)
    assert early.stat().st_mtime_ns == written, "it began anew"
    expected = load_file(whole / "adapter_model.safetensors")
    resumed = load_file(cut / "adapter_model.safetensors")
    assert expected.keys() == resumed.keys()
    assert all((resumed[name] == value).all() for name, value in expected.items())


def test_a_custom_strategy_and_its_controls_cost_the_same(
    pico: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("custom_strategy", pico / "model")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    costs = {line[0]: line[1] for line in lines if not line[0].isdigit()}
    assert list(costs) == ["late", "reversed_late", "permuted_late"]
    assert len(set(costs.values())) == 1
    assert sum(line[0].isdigit() for line in lines) == 3 * 12
