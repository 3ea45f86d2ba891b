"""Starts: norms, closed forms of the first step, and plain adapters that come out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from adarank.allocation.directions import directions_of
from adarank.allocation.plan import RankPlan
from adarank.allocation.starts import ABOUT, StartName
from adarank.errors import InputError
from adarank.models.modules import find_modules
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.gradients import mean_gradients
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.objective import Objective
from adarank.tasks.base import Headed
from adarank.tuning.loop.training import train
from adarank.tuning.lora import attach, factors_of, layers_of
from adarank.tuning.saving import verify_saved
from adarank.tuning.seeds import generator
from adarank.tuning.starts.base import ROW_NORM, Given
from adarank.tuning.starts.registry import STARTS, set_start
from adarank.tuning.tuners.base import Start
from adarank.tuning.tuners.lora import Lora
from tests.adarank.tuning.test_tuners import SETTINGS, STEPS, TASK, TRAIN, VALIDATION
from tests.plans import plan_json, uneven

BATCHES = [TASK.collate(TRAIN[:16]), TASK.collate(TRAIN[16:])]
OBJECTIVE = Objective(TASK.loss)
SIGNALS: dict[str, Any] = {"gradient": gradient_directions, "inputs": input_directions}
NAMES = sorted(STARTS)


def fresh(folder: Path) -> Headed:
    return TASK.build(folder, 0)


def directions(folder: Path, start: str, components: int = 8) -> dict[str, Tensor]:
    if start not in SIGNALS:
        return {}
    model: Any = fresh(folder).model
    scores = SIGNALS[start](model, BATCHES, find_modules(model), OBJECTIVE, components=components)
    return {name: torch.from_numpy(rows) for name, rows in directions_of(scores.table).items()}


def plan_of(folder: Path, start: StartName, rank: Any = uneven) -> RankPlan:
    return RankPlan.from_json(plan_json(folder, rank) | {"start": start})


def begun(folder: Path, start: StartName, rank: Any = uneven, seed: int = 0) -> PeftModel:
    given = Start(
        TASK, TRAIN, STEPS, 8, dropout=0.0, seed=seed, directions=directions(folder, start)
    )
    return Lora().attach(fresh(folder), plan_of(folder, start, rank), given)


def rows_of(model: PeftModel) -> dict[str, Tensor]:
    return {name: factors_of(layer)[0].detach() for name, layer in layers_of(model).items()}


def test_every_start_is_described() -> None:
    assert ABOUT.keys() == STARTS.keys()


def test_kaiming_is_the_default_bit_for_bit(pico_model: Path) -> None:
    plan = RankPlan.from_json(plan_json(pico_model, uneven))
    assert plan.start == "kaiming" and "start" not in plan.to_json()
    plain = attach(fresh(pico_model), plan, peft_type="SEQ_CLS", dropout=0.0, seed=0)
    before = rows_of(plain)
    set_start(plain, "kaiming", seed=0)
    after = rows_of(plain)
    assert all(torch.equal(after[name], rows) for name, rows in before.items())
    tuned = rows_of(Lora().attach(fresh(pico_model), plan, Start(TASK, TRAIN, STEPS, 8, 0.0, 0)))
    assert all(torch.equal(tuned[name], rows) for name, rows in before.items())


def test_kaimings_rows_have_the_common_norm_on_average() -> None:
    rows = STARTS["kaiming"](Given(2000, 40, generator(0)))
    assert float(rows.square().sum(dim=1).mean()) == pytest.approx(ROW_NORM**2, rel=0.01)


@pytest.mark.parametrize("start", ["orthogonal", "inputs", "gradient"])
def test_rows_are_orthogonal_of_the_common_norm(pico_model: Path, start: StartName) -> None:
    for name, rows in rows_of(begun(pico_model, start)).items():
        expected = torch.eye(len(rows)) / 3
        assert torch.allclose(rows @ rows.T, expected, atol=1e-6), name


@pytest.mark.parametrize("start", NAMES)
def test_the_base_is_untouched_and_b_zero(pico_model: Path, start: StartName) -> None:
    model = begun(pico_model, start)
    assert not any(factors_of(layer)[1].any() for layer in layers_of(model).values())
    plain: Any = fresh(pico_model).model.eval()
    with torch.no_grad():
        batch = {k: v for k, v in BATCHES[0].items() if k != "labels"}
        assert torch.equal(model.eval()(**batch).logits, plain(**batch).logits)


@pytest.mark.parametrize("start", NAMES)
def test_the_same_seed_begins_alike_and_a_lower_rank_with_the_same_rows(
    pico_model: Path, start: StartName
) -> None:
    once, again = (rows_of(begun(pico_model, start)) for _ in range(2))
    lower = rows_of(begun(pico_model, start, lambda module: min(1, uneven(module))))
    for name, rows in once.items():
        assert torch.equal(rows, again[name])
        if start != "kaiming":  # PEFT's own draws fill a matrix of another shape
            assert torch.allclose(rows[:1], lower[name], atol=1e-6)
    other = rows_of(begun(pico_model, start, seed=1))
    drawn = start in ("kaiming", "orthogonal")
    assert all(torch.equal(other[name], rows) != drawn for name, rows in once.items())


def test_the_first_step_is_the_best_approximation_of_full_fine_tunings(pico_model: Path) -> None:
    model = begun(pico_model, "gradient")
    base: Any = fresh(pico_model).model
    modules = {module.name: module for module in find_modules(base)}
    full = list(mean_gradients(base, BATCHES, [list(modules.values())], OBJECTIVE))
    gradients = dict(zip(modules, full, strict=True))
    model.eval()
    total = sum(len(batch["labels"]) for batch in BATCHES)
    for batch in BATCHES:
        (TASK.loss(model, batch) * len(batch["labels"]) / total).backward()
    for name, layer in layers_of(model).items():
        a, b = factors_of(layer)
        scale = layer.scaling["default"]
        assert b.grad is not None
        step = scale * b.grad @ a.detach()
        u, s, vh = torch.linalg.svd(gradients[name].double())
        rank = len(a)
        best = (u[:, :rank] * s[:rank]) @ vh[:rank]
        expected = (scale * ROW_NORM) ** 2 * best
        assert torch.allclose(step.double(), expected, atol=1e-5 * float(expected.abs().max())), (
            name
        )


def test_inputs_start_keeps_most_of_the_inputs_variance(pico_model: Path) -> None:
    def kept(start: StartName) -> float:
        model = begun(pico_model, start, lambda _: 2)
        layer: Any = layers_of(model)["encoder.layer.0.attention.self.value"]
        seen: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        with torch.no_grad():
            for batch in BATCHES:
                TASK.loss(model.eval(), batch)
        hook.remove()
        real = [x[batch["attention_mask"].bool()] for x, batch in zip(seen, BATCHES, strict=True)]
        inputs = torch.cat(real)
        inputs = inputs - inputs.mean(dim=0)
        return float((inputs @ factors_of(layer)[0].detach().T).square().sum())

    assert kept("inputs") > 2 * max(kept("orthogonal"), kept("gradient"))


@pytest.mark.parametrize("start", ["orthogonal", "gradient", "inputs"])
def test_a_trained_adapter_is_plain_pefts(
    pico_model: Path, tmp_path: Path, start: StartName
) -> None:
    model, plan = begun(pico_model, start), plan_of(pico_model, start)
    train(model, TASK, TRAIN, VALIDATION, SETTINGS, 0)
    Lora().save(model, tmp_path)
    found = verify_saved(Lora(), model, plan, tmp_path, lambda: fresh(pico_model))
    assert found.parameters == plan.parameters
    base = AutoModelForSequenceClassification.from_pretrained(pico_model, num_labels=3)
    stock = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    batch = {k: v for k, v in BATCHES[0].items() if k != "labels"}
    with torch.no_grad():
        assert torch.equal(stock(**batch).logits, model.eval()(**batch).logits)


def test_directions_that_do_not_suffice_are_named_at_once(pico_model: Path) -> None:
    model = begun(pico_model, "kaiming")
    few = {name: rows[:1] for name, rows in directions(pico_model, "gradient").items()}
    few["encoder.layer.0.attention.self.query"] = torch.zeros(1, 5)
    with pytest.raises(InputError) as raised:
        set_start(model, "gradient", few)
    named = {problem.where: problem.got for problem in raised.value.problems}
    assert named["encoder.layer.0.attention.self.query"] == "(1, 5)"
    assert named["encoder.layer.1.attention.self.value"] == "(1, 32)"
    assert "encoder.layer.1.attention.self.query" not in named  # rank 1
    with pytest.raises(InputError, match="none"):
        set_start(model, "inputs")


def test_an_unknown_start_is_named(pico_model: Path) -> None:
    unknown: Any = "pissa"
    with pytest.raises(InputError, match="one of kaiming, orthogonal"):
        set_start(begun(pico_model, "kaiming"), unknown)
