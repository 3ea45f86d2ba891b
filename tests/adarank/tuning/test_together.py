"""Runs trained at once: each as if it were alone, whatever becomes of the others."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.models.modules import Module, find_modules
from adarank.tasks.base import Example, Task
from adarank.tasks.registry import make_task
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.ratios import RateRatios
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Outcome, Trained
from adarank.tuning.shortcuts.dropout import without_dropout
from adarank.tuning.shortcuts.shortcuts import PrefixStore, Taken, shortcuts
from adarank.tuning.together.adamw import LineAdamW, clip
from adarank.tuning.together.carrier import Carrier
from adarank.tuning.together.layout import Layout
from adarank.tuning.together.passes import PADDING, TOKENS, shared
from adarank.tuning.together.runs import Run
from adarank.tuning.together.stacking import (
    carry,
    first_losses_differ,
    make_carrier,
    share_base,
    share_frozen,
    why_apart,
)
from adarank.tuning.together.training import train_together
from adarank.tuning.tuners.base import During, Start
from adarank.tuning.tuners.registry import TUNERS
from tests.adarank.tuning.test_resuming import CutError, Memory
from tests.adarank.tuning.test_tuners import plan_of
from tests.architectures import save_pico
from tests.pico import WORDS, pico_rows, pico_t5_config, pico_tokenizer, save_pico_model
from tests.plans import make_plan, uneven

CLASSES = make_task(
    {"type": "classification", "labels": ["who", "what", "where"]}, pico_tokenizer(), 32
)
TEXTS = make_task({"type": "causal_lm"}, pico_tokenizer(), 32)
WRITING = make_task({"type": "seq2seq", "labels": ["who", "what"]}, pico_tokenizer(), 32)
# Four steps an epoch, the last batch smaller; a look every three: every kind of moment is there.
SETTINGS = Settings(
    1e-2, Schedule("linear", warmup_steps=2), 10, 8, 3, weight_decay=0.1, max_grad_norm=0.5
)
SEEDS, RATES = (0, 1, 2), (1e-2, 3e-2, 5e-3)
RANKS: tuple[Callable[[Module], int], ...] = (uneven, lambda _: 2, lambda m: 3 * m.block)


@dataclass(frozen=True)
class Built:
    """A run's model with its plan and all modules."""

    model: PeftModel
    plan: RankPlan
    modules: list[Module]


def rows_of(task: Task, n: int, seed: int = 0) -> list[Example]:
    frame = pico_rows(n, seed=seed)
    if task is TEXTS:
        words = (WORDS * 2)[:n]
        frame = pd.DataFrame({"prompt": frame["text"], "response": words})
    if task is WRITING:
        label = frame["label"] % 2
        target = ["who" if one == 0 else "what" for one in label]
        frame = pd.DataFrame({"text": frame["text"], "target": target, "label": label})
    return task.encode(frame).examples


def built(folder: Path, rank: Callable[[Module], int], seed: int, task: Task = CLASSES) -> Built:
    headed = task.build(folder, seed)
    without_dropout(headed.model)
    modules, plan = find_modules(headed.model), make_plan(folder, rank)
    start = Start(task, [], 10, 8, 0.0, seed)
    model = TUNERS["lora"].attach(headed, plan, start)
    assert isinstance(model, PeftModel)
    return Built(model, plan, modules)


def carried(folder: Path, runs: Sequence[Built], task: Task = CLASSES) -> Carrier:
    headed = task.build(folder, 0)
    without_dropout(headed.model)
    carrier = carry(headed, runs[0].plan, [run.model for run in runs], task, "cpu")
    assert isinstance(carrier, Carrier), carrier
    return carrier


def settings_of(number: int, **changed: Any) -> Settings:
    return replace(SETTINGS, **{"learning_rate": RATES[number]} | changed)


def watched(one: Built) -> During:
    return TUNERS["lora"].during(one.model, one.plan, Start(CLASSES, [], 10, 8, 0.0, 0))


def alone(folder: Path, number: int, task: Task = CLASSES, **changed: Any) -> tuple[Built, Outcome]:
    """Train a run with the trainer there is; the plain reference of all that is compared."""
    one, seed = built(folder, RANKS[number], SEEDS[number], task), SEEDS[number]
    rows, settings = (rows_of(task, 30), rows_of(task, 12, 1)), settings_of(number, **changed)
    try:
        return one, train(one.model, task, *rows, settings, seed, during=watched(one))
    except DivergedError as error:
        return one, error


def together(
    folder: Path,
    numbers: Sequence[int] = (0, 1, 2),
    task: Task = CLASSES,
    kept: Memory | None = None,
    store: PrefixStore | None = None,
    changed: Sequence[dict[str, Any]] = ({}, {}, {}),
) -> tuple[list[tuple[Built, Outcome]], Taken]:
    runs = [built(folder, RANKS[number], SEEDS[number], task) for number in numbers]
    carrier, rows = carried(folder, runs, task), rows_of(task, 30)
    validation = rows_of(task, 12, 1)
    parts = [
        Run(run.model, SEEDS[n], settings_of(n, **changed[n]), watched(run))
        for n, run in zip(numbers, runs, strict=True)
    ]
    taking: Any = nullcontext(Taken())
    if store:
        every = [*rows, *validation]
        taking = shortcuts(carrier.model, runs[0].modules, task, every, store)
    with taking as taken:
        found = train_together(carrier, parts, task, rows, validation, kept)
    assert not any("forward" in part.__dict__ for part in carrier.model.modules())
    return list(zip(runs, found, strict=True)), taken


def assert_close(found: tuple[Built, Outcome], wanted: tuple[Built, Outcome]) -> float:
    """Equal up to the order of sums; returns the largest difference between two weights."""
    (one, got), (other, expected) = found, wanted
    assert isinstance(got, Trained) and isinstance(expected, Trained)
    pd.testing.assert_frame_equal(got.curve, expected.curve, rtol=1e-5, atol=1e-6)
    assert (got.best_step, got.tokens) == (expected.best_step, expected.tokens)
    assert got.validation == pytest.approx(expected.validation, rel=1e-5)
    weights, others = map(trained_of, (one.model, other.model))
    # As a whole: where a gradient is nearly 0, Adam makes much of its rounding.
    assert (weights - others).norm() <= 3e-5 * others.norm()
    return float((weights - others).abs().max())


def trained_of(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("number", [0, 1])
def test_one_run_equals_pefts(pico_model: Path, number: int) -> None:
    (found,), _ = together(pico_model, [number])
    assert assert_close(found, alone(pico_model, number)) <= 1e-6


def test_several_equal_as_many_alone(pico_model: Path) -> None:
    found, _ = together(pico_model)
    for number, one in enumerate(found):
        assert_close(one, alone(pico_model, number))


@pytest.mark.parametrize("name", ["distilbert", "llama", "gpt2", "roberta"])
def test_so_they_do_in_other_models(tmp_path: Path, name: str) -> None:
    folder = save_pico(name, tmp_path)
    found, _ = together(folder)
    assert_close(found[1], alone(folder, 1))


@pytest.mark.parametrize("task", [TEXTS, WRITING], ids=["causal_lm", "seq2seq"])
def test_so_do_runs_that_write(tmp_path: Path, task: Task) -> None:
    folder = save_pico_model(tmp_path, pico_t5_config()) if task is WRITING else None
    folder = folder or save_pico("llama", tmp_path)
    found, _ = together(folder, task=task)
    assert_close(found[1], alone(folder, 1, task))


def test_so_do_runs_with_shortcuts(pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.adarank.tuning.test_together.RANKS", (lambda m: 2 * m.block,) * 3)
    found, taken = together(pico_model, store=PrefixStore())
    assert taken == Taken(prefix_blocks=1, last_row=True)
    assert_close(found[1], alone(pico_model, 1))


def test_parts_have_rates_of_their_own(pico_model: Path) -> None:
    ratios: dict[str, Any] = {"ratios": RateRatios(b=4.0, head=0.5)}
    found, _ = together(pico_model, [0, 1], changed=[ratios, {}])
    assert_close(found[0], alone(pico_model, 0, **ratios))
    assert_close(found[1], alone(pico_model, 1))


def test_a_run_that_ends_early_leaves_the_others(pico_model: Path) -> None:
    early: dict[str, Any] = {"patience": 2, "evaluate_every": 1}
    found, _ = together(pico_model, changed=[early, early | {"learning_rate": 1.0}, early])
    lengths = [len(one.curve) for _, one in found if isinstance(one, Trained)]
    assert lengths[1] < lengths[0]
    assert_close(found[0], alone(pico_model, 0, **early))
    assert_close(found[1], alone(pico_model, 1, learning_rate=1.0, **early))


@pytest.mark.parametrize("extra", [{}, {"evaluate_every": 1}])
def test_a_run_that_diverges_is_named_as_alone_and_the_others_go_on(
    pico_model: Path, extra: dict[str, Any]
) -> None:
    wild: dict[str, Any] = {"learning_rate": 1e30, "max_grad_norm": 0.0} | extra
    calm: dict[str, Any] = {"max_grad_norm": 0.0} | extra
    found, _ = together(pico_model, changed=[calm, wild, calm])
    _, error = alone(pico_model, 1, **wild)
    assert isinstance(error, DivergedError) and isinstance(found[1][1], DivergedError)
    got, wanted = found[1][1].problems[0], error.problems[0]
    assert (got.what, got.where) == (wanted.what, wanted.where)
    assert_close(found[0], alone(pico_model, 0, **calm))


def test_a_group_cut_short_ends_with_the_same_bits(pico_model: Path) -> None:
    early: dict[str, Any] = {"patience": 1, "evaluate_every": 1}
    changed = [early | {"learning_rate": rate} for rate in (1e-2, 1.0, 1e30)]
    whole, _ = together(pico_model, changed=changed)
    kept = Memory(1, 3, 4)
    while True:
        try:
            pieced, _ = together(pico_model, kept=kept, changed=changed)
            break
        except CutError:
            torch.rand(3)
    assert kept.cuts == []
    for (one, got), (other, wanted) in zip(pieced, whole, strict=True):
        if isinstance(wanted, DivergedError):
            assert isinstance(got, DivergedError) and str(got) == str(wanted)
            continue
        assert isinstance(got, Trained) and got.curve.equals(wanted.curve)
        assert (got.best_step, got.tokens) == (wanted.best_step, wanted.tokens)
        for name, tensor in TUNERS["lora"].state(one.model).items():
            assert torch.equal(tensor, TUNERS["lora"].state(other.model)[name])


def test_padding_stays_zero(pico_model: Path) -> None:
    kept = Memory()
    found, _ = together(pico_model, kept=kept)
    assert kept.kept is not None
    layout = Layout(carried(pico_model, [one for one, _ in found]).model)
    for line, (one, _) in zip(kept.kept.tensors["lines/values"], found, strict=True):
        layout.write(line, one.model)
        # What is read is zero wherever the run has no such entry.
        assert torch.equal(layout.read(one.model), line)


@pytest.mark.parametrize(
    ("tuner", "why"),
    [
        ("adalora", "acts on the run's steps"),
        ("growing", "acts on the run's steps"),
        ("full", "whole model"),
        ("eva", None),
        ("lora", None),
    ],
)
def test_what_cannot_be_stacked_says_why(pico_model: Path, tuner: Any, why: str | None) -> None:
    plan = plan_of(pico_model, tuner)
    headed = CLASSES.build(pico_model, 0)
    without_dropout(headed.model)
    start = Start(CLASSES, rows_of(CLASSES, 30), 12, 8, 0.0, 0)
    model = TUNERS[tuner].attach(headed, plan, start)
    found = why_apart(model, SETTINGS, TUNERS[tuner].during(model, plan, start))
    assert (why is None and found is None) or (found and why and why in found)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_active_dropout_is_none_of_a_group(pico_model: Path, dropout: float) -> None:
    plan = make_plan(pico_model, uneven)
    headed = CLASSES.build(pico_model, 0)
    if dropout:
        without_dropout(headed.model)  # the adapters' own is left
    model = TUNERS["lora"].attach(headed, plan, Start(CLASSES, [], 10, 8, dropout, 0))
    assert "dropout" in str(why_apart(model, SETTINGS, During()))


def test_other_frozen_weights_are_noticed(pico_model: Path) -> None:
    one, other = built(pico_model, uneven, 0), built(pico_model, uneven, 1)
    frozen = [p for p in other.model.parameters() if not p.requires_grad]
    with torch.no_grad():
        frozen[3].add_(1e-3)
    carrier = make_carrier(
        CLASSES.build(pico_model, 0), one.plan, [one.model, other.model], CLASSES
    )
    assert "differ between runs" in str(share_frozen(carrier.model, [one.model, other.model]))


def test_frozen_weights_are_held_once(pico_model: Path) -> None:
    runs = [built(pico_model, uneven, seed) for seed in SEEDS]
    carrier = carried(pico_model, runs)
    own = {p.data_ptr() for p in carrier.model.parameters()}
    for run in runs:
        heads = sum("original_module" in n for n, _ in run.model.named_parameters())
        apart = [p for p in run.model.parameters() if p.data_ptr() not in own]
        assert sum(not p.requires_grad for p in apart) == heads


class Mixing(nn.Module):
    """A layer whose rows depend on one another."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = self.inner(*args, **kwargs)
        return out + 0.1 * out.mean(0, keepdim=True)


def test_rows_that_touch_each_other_are_noticed(pico_model: Path) -> None:
    runs = [built(pico_model, uneven, seed) for seed in SEEDS]
    carrier, models = carried(pico_model, runs), [run.model for run in runs]
    given = (models, CLASSES, rows_of(CLASSES, 30), SETTINGS)
    assert first_losses_differ(carrier, *given) is None
    for model in (carrier.model, *models):
        inner: Any = model.get_base_model()
        embeddings = inner.bert.embeddings
        embeddings.LayerNorm = Mixing(embeddings.LayerNorm)
    assert "differ by" in str(first_losses_differ(carrier, *given))


def test_the_lines_optimizer_is_torchs(pico_model: Path) -> None:  # noqa: ARG001
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(2, 5, generator=draws)
    values, decay = start.clone(), torch.tensor([0.1] * 3 + [0.0] * 2)
    rates = torch.tensor([[1e-2] * 5, [3e-3] * 5])
    ours = LineAdamW(values, rates, decay)
    plain = [[nn.Parameter(line[:3].clone()), nn.Parameter(line[3:].clone())] for line in start]
    groups = [
        {"params": [part], "lr": float(rates[n, 0]), "weight_decay": 0.1 * (at == 0)}
        for n, parts in enumerate(plain)
        for at, part in enumerate(parts)
    ]
    theirs = torch.optim.AdamW(groups)
    for step in range(1, 6):
        gradients = torch.randn(2, 5, generator=draws)
        for parts, gradient in zip(plain, gradients, strict=True):
            parts[0].grad, parts[1].grad = gradient[:3].clone(), gradient[3:].clone()
            nn.utils.clip_grad_norm_(parts, 1.5)
        theirs.step()
        clip(gradients, gradients.norm(dim=1), 1.5)
        ours.step(gradients, step, 1.0)
    wanted = torch.stack([torch.cat([part.detach() for part in parts]) for parts in plain])
    torch.testing.assert_close(values, wanted, rtol=1e-6, atol=1e-7)


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 16)), min_size=1, max_size=20))
def test_a_shared_pass_has_little_padding(sizes: list[tuple[int, int]]) -> None:
    batches = [[{"input_ids": [1] * size}] * rows for size, rows in sizes]
    passes = shared(batches, "cpu")
    assert sorted(place for one in passes for place in one) == list(range(len(sizes)))
    for one in passes:
        joint = len(one) * max(sizes[p][0] for p in one) * max(sizes[p][1] for p in one)
        apart = sum(sizes[p][0] * sizes[p][1] for p in one)
        assert len(one) == 1 or joint <= min((1 + PADDING["cpu"]) * apart, TOKENS["cpu"])


def test_equal_batches_share_one_pass() -> None:
    batch = [{"input_ids": [1] * 10}] * 8
    assert shared([batch] * 6, "cpu") == [[0, 1, 2, 3, 4, 5]]


def test_runs_hold_the_base_once_before_there_is_a_carrier(pico_model: Path) -> None:
    first, second = (built(pico_model, lambda _: 2, seed) for seed in (0, 1))
    before = {name: p.detach().clone() for name, p in second.model.named_parameters()}
    share_base(first.model, second.model)
    own = {id(p) for p in first.model.parameters() if not p.requires_grad}
    held = [p for p in second.model.parameters() if not p.requires_grad]
    assert sum(id(p) in own for p in held) >= len(held) - 2  # all but the head that PEFT copied
    assert all(torch.equal(before[name], p) for name, p in second.model.named_parameters())
    assert not {id(p) for p in second.model.parameters() if p.requires_grad} & own
