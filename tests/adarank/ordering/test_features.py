"""Features of modules: closed forms, invariances, and what is refused."""

import numpy as np
import pytest
import torch

from adarank.ordering.features import ModuleWeight, module_features
from adarank.ordering.lists import OrderingError

RNG = torch.Generator().manual_seed(0)


def of(weight: torch.Tensor, block: int = 0, kind: str = "query") -> ModuleWeight:
    return ModuleWeight(f"{block}.{kind}", block, kind, weight)


def random(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=RNG)


def test_an_orthogonal_weight_uses_every_direction() -> None:
    row = module_features([of(torch.linalg.qr(random(6, 6))[0])]).iloc[0]
    assert row["stable_rank"] == pytest.approx(1)
    assert row["effective_rank"] == pytest.approx(1)
    assert row["quantile_0.1"] == pytest.approx(1)


def test_a_weight_of_rank_one_uses_one() -> None:
    row = module_features([of(torch.outer(torch.ones(4), torch.arange(1.0, 9)))]).iloc[0]
    assert row["stable_rank"] == pytest.approx(1 / 4)
    assert row["effective_rank"] == pytest.approx(1 / 4, abs=1e-5)
    assert row["quantile_0.5"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
def test_spectra_are_those_of_svd(shape: tuple[int, int]) -> None:
    weight = random(*shape)
    row = module_features([of(weight)]).iloc[0]
    values = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    shares = values / values.sum()
    assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2 / min(shape))
    assert row["effective_rank"] == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum()) / min(shape)
    )
    assert row["quantile_0.75"] == pytest.approx(np.quantile(values, 0.75) / values[0])
    assert (row["log_in"], row["log_out"]) == pytest.approx((np.log(shape[1]), np.log(shape[0])))


@pytest.mark.parametrize("shape", [(20, 30), (30, 20)])
def test_alignment_is_one_for_equal_weights_and_that_of_svd_otherwise(
    shape: tuple[int, int],
) -> None:
    first, second = random(*shape), random(*shape)
    table = module_features([of(first, 0), of(first * 3, 1), of(second, 2)])
    assert table.loc["0.query", "aligned_before"] == 0
    assert table.loc["0.query", "aligned_after"] == pytest.approx(1)
    one, other = (np.linalg.svd(w.double().numpy())[2][:8] for w in (first, second))
    expected = ((one @ other.T) ** 2).sum() / 8
    assert table.loc["2.query", "aligned_before"] == pytest.approx(expected)
    assert table.loc["1.query", "aligned_after"] == pytest.approx(expected)


def test_another_kind_or_shape_is_no_neighbour() -> None:
    table = module_features([of(random(9, 9), 0), of(random(9, 9), 1, "key"), of(random(9, 8), 1)])
    assert (table[["aligned_before", "aligned_after"]] == 0).all(axis=None)


def test_a_models_scale_changes_nothing() -> None:
    weights = [random(6, 4), random(4, 6)]
    tables = [
        module_features([of(scale * one, block) for block, one in enumerate(weights)])
        for scale in (1.0, 64.0)
    ]
    np.testing.assert_allclose(*tables, atol=1e-6)


def test_depth_and_kind() -> None:
    modules = [
        of(random(3, 3), 0, "value"),
        of(random(3, 3), 1, "cross_query"),
        of(random(3, 3), 2),
    ]
    table = module_features(modules)
    assert list(table["depth"]) == [0, 0.5, 1]
    assert list(table["kind_value"]) == [1, 0, 0] and list(table["kind_other"]) == [0, 1, 0]
    assert list(table.index) == [module.name for module in modules]


def test_a_weight_of_zeros_has_finite_features() -> None:
    assert np.isfinite(module_features([of(torch.zeros(3, 5))])).all(axis=None)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "no modules"),
        ([of(torch.ones(2, 2)), of(torch.ones(2, 2))], "listed twice"),
        ([of(torch.tensor([[1.0, torch.nan]]))], "no finite matrix"),
        ([of(torch.ones(3))], "no finite matrix"),
    ],
)
def test_features_refuse(modules: list[ModuleWeight], message: str) -> None:
    with pytest.raises(OrderingError, match=message):
        module_features(modules)
