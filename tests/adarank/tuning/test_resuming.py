"""A training run cut short at any step ends with the very bits of one that was not."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adarank.allocation.plan import RankPlan
from adarank.tuning.loop.checkpoint import State, joined, part_of, random_state, restore_random
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.registry import TUNERS
from tests.adarank.tuning.test_tuners import STEPS, TASK, TRAIN, VALIDATION, plan_of

# Four steps an epoch, and a look every three: every kind of moment is among twelve steps.
SETTINGS = Settings(1e-2, Schedule("linear", warmup_steps=3), STEPS, 8, evaluate_every=3)


class CutError(Exception):
    pass


class Memory:
    """Keeps the last state as bytes would, and cuts a run short at given steps."""

    def __init__(self, *cuts: int):
        self.kept: State | None = None
        self.cuts = list(cuts)
        self.saved: list[int] = []

    def last(self) -> State | None:
        return self.kept

    def due(self) -> bool:
        return True

    def save(self, state: State) -> None:
        tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
        self.kept = State(tensors, json.loads(json.dumps(state.note)))
        step = state.note["trainer"]["global_step"]
        self.saved.append(step)
        if step in self.cuts:
            self.cuts.remove(step)
            raise CutError


def run(folder: Path, plan: RankPlan | str, kept: Memory | None, **changed: Any) -> tuple[Any, ...]:
    """Train a plan, or a tuner's usual one: state, what came of it, steps counted, model."""
    plan = plan_of(folder, plan) if isinstance(plan, str) else plan
    tuner = plan.tuner
    begun = Start(TASK, TRAIN, STEPS, batch_size=8, dropout=0.1, seed=0)
    model = TUNERS[tuner].attach(TASK.build(folder, 0), plan, begun)
    during = TUNERS[tuner].during(model, plan, begun)
    steps = [0]

    def advance() -> None:
        steps[0] += 1

    settings = replace(SETTINGS, **changed)
    done = train(model, TASK, TRAIN, VALIDATION, settings, 0, advance, during, checkpoints=kept)
    return TUNERS[tuner].state(model), done, steps[0], model


def pieced(folder: Path, plan: RankPlan | str, kept: Memory, **changed: Any) -> tuple[Any, ...]:
    while True:
        try:
            return run(folder, plan, kept, **changed)
        except CutError:
            # What was drawn meanwhile by others must be nothing to the run.
            torch.rand(3), random.random(), np.random.rand()


def assert_same(first: Any, second: Any) -> None:
    weights, other = first[0], second[0]
    assert weights.keys() == other.keys()
    assert [name for name in weights if not torch.equal(weights[name], other[name])] == []
    assert first[1].curve.equals(second[1].curve)
    for name in ("best_step", "validation", "tokens"):
        assert getattr(first[1], name) == getattr(second[1], name)
    assert first[2] == second[2]


@pytest.mark.parametrize("cuts", [[3, 4], [1, 5, 7, 8]])
def test_lora_cut_short_ends_with_the_same_bits(pico_model: Path, cuts: list[int]) -> None:
    whole = run(pico_model, "lora", None)
    kept = Memory(*cuts)
    assert_same(pieced(pico_model, "lora", kept), whole)
    assert kept.cuts == []


@pytest.mark.parametrize("tuner", ["adalora", "eva", "full"])
def test_so_do_the_other_tuners(pico_model: Path, tuner: str) -> None:
    whole = run(pico_model, tuner, None)
    assert_same(pieced(pico_model, tuner, Memory(4, 5, 7)), whole)


def test_patience_is_remembered(pico_model: Path) -> None:
    changed: dict[str, Any] = {"patience": 2, "learning_rate": 0.3, "evaluate_every": 1}
    whole = run(pico_model, "lora", None, **changed)
    assert len(whole[1].curve) < STEPS
    kept = Memory(1, 2)
    assert_same(pieced(pico_model, "lora", kept, **changed), whole)
    assert kept.saved[-1] < len(whole[1].curve), "no state of a run that has ended"


def test_saving_changes_nothing(pico_model: Path) -> None:
    kept = Memory()
    assert_same(run(pico_model, "lora", kept), run(pico_model, "lora", None))
    assert kept.saved == list(range(1, STEPS))


def test_time_is_added_up(pico_model: Path) -> None:
    kept = Memory()
    run(pico_model, "lora", kept)
    assert kept.kept is not None and kept.kept.note["time"]["seconds"] > 0
    kept.kept.note["time"]["seconds"] = 1000.0
    assert 1000 < run(pico_model, "lora", kept)[1].seconds < 1010


def test_every_generator_comes_back() -> None:
    kept = random_state(torch.device("cpu"))
    note = json.loads(json.dumps(kept.note))
    first = (torch.rand(5).tolist(), np.random.rand(5).tolist(), random.random())
    np.random.randn()
    restore_random(State(kept.tensors, note), torch.device("cpu"))
    assert (torch.rand(5).tolist(), np.random.rand(5).tolist(), random.random()) == first


def test_parts_do_not_mix() -> None:
    one, two = State({"a/b": torch.ones(1)}, {"x": 1}), State({"a": torch.zeros(1)}, {})
    both = joined({"one": one, "one-more": two})
    assert part_of(both, "one") == one and part_of(both, "one-more") == two
