import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.factors.balancing import balance
from adarank.factors.joining import distance, join
from adarank.factors.padding import pad
from adarank.factors.svd import Update, decompose, effective_rank, norm
from tests.adarank.factors.updates import update

SHAPES = [(7, 5, 3), (5, 7, 3), (4, 9, 4), (3, 8, 6), (8, 3, 6), (6, 6, 1)]
"""Wide and tall, rank up to and beyond the smaller side."""


@pytest.mark.parametrize(("d_out", "d_in", "rank"), SHAPES)
@pytest.mark.parametrize("scale", [0.25, -2.0])
def test_the_svd_is_that_of_the_dense_matrix(
    d_out: int, d_in: int, rank: int, scale: float
) -> None:
    given = update(d_out, d_in, rank, scale=scale)
    found, dense = decompose(given), torch.linalg.svd(given.dense(), full_matrices=False)
    k = min(d_out, d_in, rank)
    torch.testing.assert_close(found.sigma, dense.S[:k])
    torch.testing.assert_close(found.u.T @ found.u, torch.eye(k, dtype=torch.float64))
    torch.testing.assert_close(found.vh @ found.vh.T, torch.eye(k, dtype=torch.float64))
    torch.testing.assert_close(found.components.u @ found.components.rows, given.dense())


def test_signs_do_not_depend_on_the_signs_of_the_factors() -> None:
    given = update(6, 5, 3)
    flipped = decompose(Update(-given.a, -given.b, given.scale))
    torch.testing.assert_close(decompose(given).u, flipped.u)
    assert (flipped.u.gather(0, flipped.u.abs().argmax(0, keepdim=True)) > 0).all()


def test_half_precision_factors_are_computed_in_double() -> None:
    given = update(6, 5, 3, kind=torch.bfloat16)
    torch.testing.assert_close(
        decompose(given).sigma, torch.linalg.svdvals(given.dense())[:3], rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_factors_that_are_not_finite_are_refused(bad: float) -> None:
    given = update(4, 4, 2)
    given.a[1, 2] = bad
    with pytest.raises(InputError, match="1 of A's entries"):
        decompose(given)
    with pytest.raises(InputError, match="scale"):
        decompose(Update(torch.ones(1, 2), torch.ones(2, 1), bad))


def test_shapes_that_do_not_multiply_are_refused() -> None:
    with pytest.raises(InputError, match="no factors of one update"):
        Update(torch.ones(2, 4), torch.ones(4, 3))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 99))
def test_joined_updates_are_their_sum(ranks: list[int], seed: int) -> None:
    parts = [update(6, 5, r, seed + i, scale=i - 1.5) for i, r in enumerate(ranks)]
    joined = join(parts)
    assert joined.rank == sum(ranks)
    torch.testing.assert_close(joined.dense(), sum(part.dense() for part in parts))


def test_updates_of_two_weights_cannot_be_joined() -> None:
    with pytest.raises(InputError, match="4 x 5, 6 x 5"):
        join([update(6, 5, 1), update(4, 5, 1)])
    with pytest.raises(InputError, match="no update"):
        join([])


def test_norm_and_distance_are_the_dense_ones() -> None:
    one, other = update(6, 5, 2), update(6, 5, 3, seed=1)
    assert norm(one) == pytest.approx(float(one.dense().norm()))
    assert distance(one, other) == pytest.approx(float((one.dense() - other.dense()).norm()))
    assert distance(one, one) < 1e-14


@pytest.mark.parametrize("scale", [0.5, -3.0])
def test_balancing_shares_the_norms_and_keeps_the_product(scale: float) -> None:
    given = update(6, 5, 3, scale=scale)
    given.b[:, 1] = 0  # as a fresh adapter's
    balanced = balance(given, scale=4.0)
    assert balanced.scale == 4.0
    torch.testing.assert_close(balanced.dense(), given.dense())
    torch.testing.assert_close(balanced.a.norm(dim=1), balanced.b.norm(dim=0))


def test_padding_changes_the_rank_and_nothing_else() -> None:
    given = update(6, 5, 2, kind=torch.float32)
    padded = pad(given, 4)
    assert (padded.rank, padded.scale) == (4, 1.0)
    torch.testing.assert_close(padded.dense(), given.dense(), rtol=1e-15, atol=1e-15)
    assert not padded.a[2:].any() and not padded.b[:, 2:].any()
    with pytest.raises(InputError, match="cannot lower"):
        pad(given, 1)


def test_the_effective_rank_is_that_of_the_entropy_of_singular_values() -> None:
    given = update(9, 7, 4)
    sigma = torch.linalg.svd(given.dense(), full_matrices=False).S[:4]
    shares = sigma / sigma.sum()
    expected = float(torch.exp(-(shares * shares.log()).sum()))
    assert effective_rank(given) == pytest.approx(expected)
    assert 1 < expected < 4
    assert effective_rank(Update(given.a, 0 * given.b)) == 0
    equal = Update(torch.eye(3, 8), torch.eye(6, 3), 5.0)
    assert effective_rank(equal) == pytest.approx(3)
    spread = Update(torch.eye(2, 8), torch.diag(torch.tensor([3.0, 1.0]))[:, :2])
    assert effective_rank(spread) == pytest.approx(0.75**-0.75 * 0.25**-0.25)
