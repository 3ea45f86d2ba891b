"""The scripts of examples/ run as their README says, on a pico model."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel

from adarank.allocation.directions import directions_of
from adarank.allocation.plan import RankPlan
from adarank.models.modules import find_modules
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.objective import Objective
from adarank.tasks.registry import make_task
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.lora import Lora
from tests.pico import pico_bert_config, pico_tokenizer
from tests.plans import plan_json

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
    assert names == {"ranks_then_train", "resume", "custom_strategy", "gradient_start"}


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
    assert early.stat().st_mtime_ns == written, "it began from the start"
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


def test_a_start_by_hand_trains_as_the_pipelines_does(pico: Path) -> None:
    """The pipeline's training of the same plan, start, rows and head: the same loss every step."""
    description: Any = {"type": "classification", "labels": ["person", "place"]}
    task = make_task(description, pico_tokenizer(), 64)
    config: Any = pico_bert_config()
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    AutoModel.from_config(config).save_pretrained(pico / "still")
    model: Any = task.build(pico / "still", 0).model
    model.save_pretrained(pico / "with-head")
    pico_tokenizer().save_pretrained(pico / "with-head")
    run("gradient_start", pico / "with-head", pico / "rows.csv", pico / "by-hand")
    state = json.loads((pico / "by-hand/trainer_state.json").read_text())
    by_hand = [entry["loss"] for entry in state["log_history"] if "loss" in entry]

    texts, labels = zip(*(line.split(",") for line in ROWS.splitlines()[1:]), strict=True)
    numbers = [description["labels"].index(label) for label in labels]
    examples = task.encode(pd.DataFrame({"text": texts, "label": numbers})).examples
    modules = find_modules(model)
    found = gradient_directions(model, [task.collate(examples)], modules, Objective(task.loss))
    directions = {n: torch.from_numpy(rows) for n, rows in directions_of(found.table).items()}
    start = Start(task, examples, 10, 16, dropout=0.0, seed=0, directions=directions)
    form = plan_json(pico / "still", lambda _: 4, ratio=1.0, budget=4) | {"start": "gradient"}
    plan = RankPlan.from_json(form)
    adapted = Lora().attach(task.build(pico / "still", 0), plan, start)
    settings = Settings(1e-2, Schedule("linear"), 10, 16, evaluate_every=10)
    curve = train(adapted, task, examples, examples, settings, 0).curve
    assert curve["train_loss"].tolist() == pytest.approx(by_hand, rel=1e-3, abs=1e-4)
    assert by_hand[-1] < 0.9 * by_hand[0]
