"""The Fisher signal: parity with one row at a time, and layers that hide their rows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adarank.models.modules import find_modules, resolve
from adarank.scoring.engines.token_gradients import squared_norms
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.objective import Batch
from adarank.scoring.signals.row_norms import ONE_BY_ONE, TOGETHER
from tests.adarank.scoring.test_signals_gradient import CASES, tokens
from tests.adarank.scoring.toys import MODULE, OBJECTIVE, Toy, toy_batch
from tests.adarank.tasks.labelled import headed, labelled, rows


def test_a_linear_model_has_its_closed_form() -> None:
    # The gradient of a row is (W x - y) x^T, whose squared norm is |W x - y|^2 |x|^2.
    model, batch = Toy(), toy_batch(5)
    errors = batch["inputs"] @ model.weight.T - batch["labels"]
    squares = errors.square().sum(dim=1) * batch["inputs"].square().sum(dim=1)
    table = fisher(model, [batch], [MODULE], OBJECTIVE).table
    assert table["score"].item() == pytest.approx(float(squares.mean()) / 24, rel=1e-5)


@pytest.mark.parametrize(("name", "causal"), CASES)
def test_scores_equal_a_plain_loop_over_rows(name: str, causal: bool) -> None:
    model = headed(name, causal=causal)
    batches = [labelled(name, seed, causal=causal) for seed in (0, 1)]
    modules = find_modules(model)
    scores = fisher(model, batches, modules)
    assert np.allclose(scores.table["score"], plain(model, batches, modules), rtol=1e-3)
    # DeBERTa projects the relative positions, which all rows share.
    assert scores.engine == (ONE_BY_ONE if name == "deberta-v2" else TOGETHER)


def plain(model: nn.Module, batches: list, modules: list) -> list[float]:
    weights = [model.get_submodule(resolve(model, m.name)).weight for m in modules]
    alone = [row for batch in batches for row in rows(batch)]
    terms = sum(tokens(model, row["labels"]) for row in alone)
    totals = [0.0] * len(modules)
    for row in alone:
        part = model(**row).loss * tokens(model, row["labels"]) * len(alone) / terms
        for index, gradient in enumerate(torch.autograd.grad(part, weights)):
            totals[index] += float(gradient.square().mean())
    return [total / len(alone) for total in totals]


@pytest.mark.parametrize("name", ["bert", "deberta-v2", "t5"])
def test_scores_do_not_depend_on_how_rows_are_dealt_into_batches(name: str) -> None:
    model, batch = headed(name), labelled(name)
    modules = find_modules(model)
    parts = [{k: v[part] for k, v in batch.items()} for part in (slice(0, 1), slice(1, 3))]
    for dealt in (parts, rows(batch)):
        found = fisher(model, dealt, modules).table["score"]
        assert np.allclose(found, fisher(model, [batch], modules).table["score"], rtol=1e-3)


def twice(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer(x) + layer(x.flip(-1)).sin()


def flat(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def outside(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer(x) + nn.functional.linear(x, layer.weight).sin()


def shared(layer: nn.Linear, x: Tensor) -> Tensor:
    return layer(x) * layer(torch.ones(1, 6))


def turned(layer: nn.Linear, x: Tensor) -> Tensor:
    # Tokens before rows: as many lines as rows times tokens, in another order.
    return layer(x.transpose(0, 1).flatten(0, 1)).unflatten(0, (3, -1)).transpose(0, 1)


@pytest.mark.parametrize(
    ("apply", "engine"),
    [
        (twice, TOGETHER),
        (flat, TOGETHER),
        (outside, ONE_BY_ONE),
        (shared, ONE_BY_ONE),
        (turned, ONE_BY_ONE),
    ],
)
@pytest.mark.parametrize("sizes", [[4, 4], [1, 4]])
def test_a_layer_however_used_is_scored_right(
    apply: Callable[..., Any], engine: str, sizes: list[int]
) -> None:
    model = Toy(apply)
    batches = [toy_batch(n, 3, seed=n) for n in sizes]
    scores = fisher(model, batches, [MODULE], OBJECTIVE)
    assert scores.engine == engine
    alone = [
        {k: v[i : i + 1] for k, v in b.items()} for b in batches for i in range(len(b["inputs"]))
    ]
    weight = model.block[0].weight
    expected = np.mean([float(of_row(model, row, weight).square().mean()) for row in alone])
    assert scores.table["score"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("same_layer", [True, False])
def test_a_weight_of_two_names_counts_once_per_use(same_layer: bool) -> None:
    model = Toy()
    second = nn.Linear(6, 4, bias=False)
    second.weight = model.block[0].weight
    model.block.append(model.block[0] if same_layer else second)
    model.apply_layer = lambda first, x: first(x) + model.block[1](x.flip(-1)).sin()
    batch, module = toy_batch(4, 3), replace(MODULE, aliases=("block.1",))
    scores = fisher(model, [batch], [module], OBJECTIVE)
    expected = fisher(Toy(twice), [batch], [MODULE], OBJECTIVE).table["score"]
    assert scores.engine == TOGETHER
    assert np.allclose(scores.table["score"], expected, rtol=1e-4)


def of_row(model: Toy, row: Batch, weight: Tensor) -> Tensor:
    return torch.autograd.grad(OBJECTIVE.loss(model, row), weight)[0]


def test_norms_are_the_same_with_and_without_the_gradients_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 50, 8, generator=generator)
    gradients = torch.randn(3, 50, 4, generator=generator)
    # 50 tokens are many for 8 x 4 entries, 2 are few.
    few, many = (squared_norms(inputs[:, :n], gradients[:, :n]) for n in (2, 50))
    for n, found in ((2, few), (50, many)):
        whole = torch.einsum("rto,rti->roi", gradients[:, :n], inputs[:, :n])
        assert torch.allclose(found.float(), whole.square().sum(dim=(1, 2)), rtol=1e-4)


def test_one_backward_serves_a_batch() -> None:
    model, modules = headed("bert"), find_modules(headed("bert"))
    batches = [labelled("bert", seed) for seed in range(4)]
    # Two more for the proof on the first batch.
    assert fisher(model, batches, modules).forwards == 4 + 2
