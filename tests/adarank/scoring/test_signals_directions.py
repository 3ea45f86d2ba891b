"""Directions: against plain decompositions, in every architecture's orientation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from adarank.allocation.directions import directions_of
from adarank.allocation.signal import read_signal
from adarank.errors import InputError, RunError
from adarank.models.modules import find_modules
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.gradients import mean_gradients
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.objective import OWN
from adarank.scoring.signals.spectra import leading_right
from tests.adarank.scoring.toys import MODULE, OBJECTIVE, Toy, toy_batch
from tests.adarank.tasks.labelled import headed, labelled

WIDE = 40
COMPUTED = {"gradient": gradient_directions, "inputs": input_directions}


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])
def test_gradient_directions_are_its_right_singular_vectors(name: str) -> None:
    model, batches = headed(name), [labelled(name), labelled(name, 1)]
    modules = find_modules(model)
    scores = gradient_directions(model, batches, modules, components=3)
    found = directions_of(scores.table)
    gradients = list(mean_gradients(model, batches, [modules], OWN))
    for module, gradient in zip(modules, gradients, strict=True):
        # Conv1D's weights lie transposed.
        by_output = gradient.T if name == "gpt2" else gradient
        rows = torch.from_numpy(found[module.name])
        assert rows.shape == (3, module.d_in) and by_output.shape == (module.d_out, module.d_in)
        assert torch.allclose(rows @ rows.T, torch.eye(3), atol=1e-5)
        values = torch.linalg.svdvals(by_output.double())[:3]
        got = torch.linalg.vector_norm(by_output.double() @ rows.double().T, dim=0)
        assert torch.allclose(got, values, rtol=1e-4, atol=1e-6 * float(values[0])), module.name
    spectrum = gradient_spectrum(model, batches, modules, components=3).table["score"]
    assert np.allclose(scores.table["score"], spectrum, rtol=5e-3, atol=1e-3 * spectrum.max())


def decaying(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    u = np.linalg.qr(draws.standard_normal((rows, rows)))[0]
    v = np.linalg.qr(draws.standard_normal((columns, rows)))[0].T
    return (u * 1.2 ** -np.arange(rows)) @ v, v


def test_large_matrices_are_decomposed_at_random_and_as_well() -> None:
    matrix, v = decaying(600, 700)
    values, vectors = leading_right(torch.from_numpy(matrix), 8)
    assert values == pytest.approx(1.2 ** -np.arange(8.0), rel=1e-6)
    assert np.abs((vectors * v[:8]).sum(axis=1)) == pytest.approx(np.ones(8), abs=1e-6)
    assert np.array_equal(vectors, leading_right(torch.from_numpy(matrix), 8)[1])


def test_no_gradient_still_gives_orthonormal_rows() -> None:
    values, vectors = leading_right(torch.zeros(5, 7), 3)
    assert not values.any() and np.allclose(vectors @ vectors.T, np.eye(3))


def test_input_directions_are_the_covariances_eigenvectors() -> None:
    batches = [toy_batch(20, 3, seed=seed) for seed in (1, 2)]
    scale = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.1])
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(5)))[0]
    batches = [b | {"inputs": b["inputs"] * scale @ turn.T + 10} for b in batches]
    table = input_directions(Toy(), batches, [MODULE], OBJECTIVE, components=3).table
    inputs = torch.cat([b["inputs"].flatten(0, 1) for b in batches]).double()
    values, vectors = torch.linalg.eigh(torch.cov(inputs.T, correction=0))
    expected = vectors.flip(1).T[:3]
    found = torch.from_numpy(directions_of(table)[MODULE.name]).double()
    assert torch.allclose((found * expected).sum(dim=1).abs(), torch.ones(3).double(), atol=1e-5)
    assert table["score"].to_numpy() == pytest.approx((values.flip(0) / values.sum())[:3].numpy())


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_few_directions_of_many_explain_what_the_exact_ones_do(name: str) -> None:
    model, batches = headed(name), [labelled(name), labelled(name, 1)]
    modules = find_modules(model)
    scores = input_directions(model, batches, modules, components=2)
    exact = activation_variance(model, batches, modules, components=2).table["score"]
    assert scores.table["score"].to_numpy() == pytest.approx(exact.to_numpy(), rel=1e-2)
    # Only 10 columns are held of each module, and a second and a third pass are made.
    assert scores.forwards == 3 * len(batches)


@pytest.mark.parametrize("name", COMPUTED)
def test_the_same_again_is_the_same_and_a_table_is_a_signal(name: str) -> None:
    compute: Any = COMPUTED[name]
    model, batches = headed("bert"), [labelled("bert")]
    modules = find_modules(model)
    once, again = (compute(model, batches, modules, components=2).table for _ in range(2))
    pd.testing.assert_frame_equal(once, again)
    signal = read_signal(once)
    assert set(signal.modules["module"]) == {module.name for module in modules}
    for rows in directions_of(once).values():
        assert (np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1) > 0).all()


def test_an_input_that_is_not_finite_is_named() -> None:
    batch = toy_batch(4)
    batch["inputs"][0, 0] = float("nan")
    with pytest.raises(RunError, match=r"block\.0"):
        input_directions(Toy(), [batch], [MODULE], OBJECTIVE)


def test_a_table_without_directions_is_refused() -> None:
    model, batches = headed("bert"), [labelled("bert")]
    table = gradient_spectrum(model, batches, find_modules(model), components=2).table
    with pytest.raises(InputError, match="no directions"):
        directions_of(table)
