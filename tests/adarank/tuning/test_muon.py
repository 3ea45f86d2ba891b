"""LoRA-Muon: closed forms of a step, parity with torch's Muon, and runs that go on."""

from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from adarank.errors import InputError
from adarank.tuning.loop.muon import LoraMuon, Pair, msign, whitening
from adarank.tuning.loop.ratios import RateRatios
from adarank.tuning.loop.training import train
from tests.adarank.tuning.test_ratios import weights
from tests.adarank.tuning.test_resuming import Memory, assert_same, pieced, run
from tests.adarank.tuning.test_training import SETTINGS, TASK, TRAIN, VALIDATION, built

RATE = 0.1


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair_of(rank: int = 3, scale: float = 1.0, seed: int = 0) -> Pair:
    a, b = draw(rank, 8, seed=seed), draw(6, rank, seed=seed + 1)
    return Pair(nn.Parameter(a), nn.Parameter(b), scale)


def stepped(pair: Pair, a: Tensor | None, b: Tensor | None, **group: Any) -> tuple[Tensor, Tensor]:
    """The change of A and B in one step with these gradients."""
    before = pair.a.detach().clone(), pair.b.detach().clone()
    pair.a.grad, pair.b.grad = a, b
    settings = {"params": [pair.a, pair.b], "lr": RATE, "weight_decay": 0.0} | group
    LoraMuon([settings], [pair]).step()
    assert pair.a.grad is a and pair.b.grad is b, "gradients stay for what reads them later"
    return pair.a.detach() - before[0], pair.b.detach() - before[1]


def spectral(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def test_the_polar_factor_has_the_singular_vectors_and_values_of_one() -> None:
    matrix = draw(4, 9).double()
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert_close(msign(matrix), u @ v)
    assert_close(msign(matrix) @ msign(matrix).T, torch.eye(4, dtype=torch.float64))


def test_directions_that_are_not_there_stay_out_of_the_polar_factor() -> None:
    low = (draw(4, 2) @ draw(2, 9, seed=1)).double()
    values = torch.linalg.svdvals(msign(low.float()))
    assert_close(values, torch.tensor([1, 1, 0, 0], dtype=torch.float64), atol=1e-5, rtol=0)
    assert not msign(torch.zeros(3, 5)).any() and not whitening(torch.zeros(3, 5)).any()


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_every_modules_step_has_the_same_spectral_norm(rank: int, scale: float) -> None:
    for seed, size in enumerate((1e-3, 1.0, 50.0)):
        pair = pair_of(rank, scale, seed)
        pair.a.data *= size
        a, b = pair.a.detach().clone(), pair.b.detach().clone()
        da, db = stepped(pair, size * draw(rank, 8, seed=5), draw(6, rank, seed=6))
        assert spectral(scale * db @ a) == pytest.approx(RATE / 2, rel=1e-3)
        assert spectral(scale * b @ da) == pytest.approx(RATE / 2, rel=1e-3)


def test_at_rank_one_both_steps_are_normalised_vectors() -> None:
    pair, ga, gb = pair_of(1, 2.0), draw(1, 8, seed=5), draw(6, 1, seed=6)
    a, b = pair.a.detach().clone(), pair.b.detach().clone()
    da, db = stepped(pair, ga, gb)
    assert_close(da, -RATE / 4 * ga / ga.norm() / b.norm())
    assert_close(db, -RATE / 4 * gb / gb.norm() / a.norm())


def test_the_products_step_is_the_same_whatever_the_factors_norms() -> None:
    gradient, steps = draw(6, 8, seed=9), []
    for size in (1.0, 30.0):
        pair = pair_of(2)
        pair.a.data *= size
        pair.b.data /= size
        before = pair.b.detach() @ pair.a.detach()
        stepped(pair, pair.b.detach().T @ gradient, gradient @ pair.a.detach().T)
        steps.append(pair.b.detach() @ pair.a.detach() - before)
    assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-5)


def test_a_waits_while_b_is_zero() -> None:
    pair = pair_of()
    pair.b.data.zero_()
    da, db = stepped(pair, torch.zeros(3, 8), draw(6, 3, seed=6))
    assert not da.any() and spectral(db @ pair.a.detach()) == pytest.approx(RATE / 2, rel=1e-3)


def test_a_column_of_b_that_is_nearly_zero_does_not_let_a_run_away() -> None:
    pair = pair_of(2)
    pair.b.data[:, 1] *= 1e-6
    da, _ = stepped(pair, draw(2, 8, seed=5), None)
    assert spectral(da) < 101 * RATE / 2 / spectral(pair.b.detach())


def test_weight_decay_acts_on_the_product() -> None:
    pair = pair_of()
    before = pair.b.detach() @ pair.a.detach()
    stepped(pair, torch.zeros(3, 8), torch.zeros(6, 3), weight_decay=0.5)
    assert_close(pair.b.detach() @ pair.a.detach(), (1 - RATE * 0.5) * before)


def test_b_moves_as_torchs_muon_moves_it_where_a_is_orthonormal() -> None:
    rows = torch.linalg.qr(draw(8, 3))[0].T.contiguous()
    ours, theirs = pair_of(), nn.Parameter(pair_of().b.detach().clone())
    ours.a.data.copy_(rows)
    optimizer = LoraMuon([{"params": [ours.a, ours.b], "lr": RATE, "weight_decay": 0.0}], [ours])
    # Newton and Schulz's cubic iteration, long enough to converge; torch's own default does not.
    muon = torch.optim.Muon(
        [theirs],
        lr=RATE / 2 / sqrt(6 / 3),  # which it multiplies by sqrt(rows / columns)
        weight_decay=0.0,
        momentum=0.95,
        nesterov=False,
        ns_coefficients=(1.5, -0.5, 0.0),
        ns_steps=40,
    )
    for seed in range(4):
        ours.b.grad = draw(6, 3, seed=20 + seed)
        theirs.grad = ours.b.grad.clone()
        optimizer.step()
        muon.step()
        assert_close(ours.b.detach(), theirs.detach(), atol=2e-2 * RATE, rtol=0)  # bfloat16's


def test_the_head_is_adamws(pico_model: Path) -> None:
    one = replace(SETTINGS, steps=1, evaluate_every=1, ratios=RateRatios(head=0.5))
    found: dict[str, dict[str, Tensor]] = {}
    for name in ("adamw", "muon"):
        model = built(pico_model)
        settings: Any = replace(one, optimizer=name)
        train(model, TASK, TRAIN, VALIDATION, settings, 0)
        found[name] = weights(model)
    for name, value in found["muon"].items():
        assert torch.equal(value, found["adamw"][name]) == ("lora_B" not in name), name


def test_every_adapted_module_moves_alike(pico_model: Path) -> None:
    model = built(pico_model)
    settings = replace(SETTINGS, steps=1, evaluate_every=1, optimizer="muon", weight_decay=0.0)
    train(model, TASK, TRAIN, VALIDATION, settings, 0)
    trained = weights(model)
    moved = [
        spectral(2.0 * trained[name.replace("lora_A", "lora_B")] @ a)
        for name, a in trained.items()
        if "lora_A" in name
    ]
    assert moved == pytest.approx([SETTINGS.learning_rate / 2] * len(moved), rel=1e-3)


@pytest.mark.parametrize("kind", ["lora", "eva"])
def test_a_run_cut_short_goes_on_with_its_momentum(pico_model: Path, kind: str) -> None:
    changed: dict[str, Any] = {"optimizer": "muon", "ratios": RateRatios(b=2.0)}
    whole = run(pico_model, kind, None, **changed)
    assert_same(pieced(pico_model, kind, Memory(1, 4, 8), **changed), whole)


def test_a_model_without_factors_is_refused(pico_model: Path) -> None:
    with pytest.raises(InputError, match="Muon steps along factors, and this model has none"):
        run(pico_model, "full", None, optimizer="muon")
