"""Stable rank: known matrices, every architecture, what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.errors import RunError
from adarank.models.modules import find_modules, resolve
from adarank.scoring.signals.spectra import (
    largest_squared_singular_value,
    leading_squared_singular_values,
    squared_singular_values,
)
from adarank.scoring.signals.stable_rank import stable_rank
from tests.adarank.scoring.toys import MODULE, Toy
from tests.adarank.tasks.labelled import headed
from tests.architectures import CONFIGS, pico


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1, 1, 1], 4), ([5, 0, 0, 0], 1), ([2, 1, 1, 0], 1.5), ([0] * 4, 0)],
)
def test_a_weight_of_known_singular_values(values: list[float], expected: float) -> None:
    model = Toy()
    torch.manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn(n, n))[0] for n in (4, 6))
    with torch.no_grad():
        model.block[0].weight.copy_(left @ torch.diag(torch.tensor(values).float()) @ right[:4])
    assert stable_rank(model, [MODULE]).table["score"].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_ratio_of_two_norms(name: str) -> None:
    model = pico(name)
    modules = find_modules(model)
    table = stable_rank(model, modules).table
    for module, score in zip(modules, table["score"], strict=True):
        weight = model.get_submodule(module.name).weight.detach()
        ratio = torch.linalg.matrix_norm(weight) / torch.linalg.matrix_norm(weight, ord=2)
        assert score == pytest.approx(float(ratio**2), rel=1e-4)
        assert 1 <= score <= min(module.d_in, module.d_out)


def test_a_head_changes_nothing() -> None:
    model = headed("bert")
    modules = find_modules(model)
    alone = stable_rank(model.bert, modules).table
    assert stable_rank(model, modules).table.equals(alone)


def test_a_weight_that_is_not_finite_names_its_module() -> None:
    model = headed("bert")
    name = find_modules(model)[7].name
    with torch.no_grad():
        model.get_submodule(resolve(model, name)).weight[0, 0] = float("nan")
    with pytest.raises(RunError, match=f"{name}: the weight is not finite"):
        stable_rank(model, find_modules(model))


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    decay=st.floats(0.0, 0.3),
    size=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_fast_singular_values_are_an_svd_s(
    rows: int, columns: int, decay: float, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(plain, full_matrices=False)
    kept = values * torch.exp(-decay * torch.arange(len(values)))
    matrix = (left * kept) @ right * size
    wanted = torch.linalg.svdvals(matrix).square().numpy()
    assert largest_squared_singular_value(matrix) == pytest.approx(wanted[0], rel=1e-8)
    assert np.allclose(squared_singular_values(matrix) / wanted[0], wanted / wanted[0], atol=1e-12)


@pytest.mark.parametrize(("power", "close"), [(0.5, 5e-3), (1.0, 1e-3), (3.0, 1e-4)])
def test_leading_singular_values_are_those_of_an_svd(power: float, close: float) -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 100).double())[0] for n in (130, 100))
    values = torch.arange(1, 101).double() ** -power
    matrix = ((left * values) @ right.mT).float()
    # 100 columns are over 8 * 5, so this is the randomised way.
    found = leading_squared_singular_values(matrix, 5)
    assert np.allclose(found, values[:5].square(), rtol=close)
    assert np.array_equal(found, leading_squared_singular_values(matrix, 5))
    assert np.allclose(leading_squared_singular_values(matrix.mT, 5), found, rtol=close)
    exact = squared_singular_values(matrix)[:20]
    assert np.array_equal(leading_squared_singular_values(matrix, 20), exact)


def test_leading_singular_values_of_tiny_and_of_no_gradients() -> None:
    matrix = torch.randn(50, 60, generator=torch.Generator().manual_seed(0))
    plain = leading_squared_singular_values(matrix, 4)
    assert np.allclose(leading_squared_singular_values(matrix * 1e-25, 4) * 1e50, plain, rtol=1e-5)
    assert leading_squared_singular_values(torch.zeros(50, 60), 4).tolist() == [0.0] * 4
