import pytest
import torch

from adarank.errors import InputError
from adarank.factors.loss_metric import decompose_by_loss, regularised
from adarank.factors.svd import Update, decompose
from adarank.factors.truncation import truncate
from tests.adarank.factors.updates import update

GIVEN = update(7, 6, 4, scale=-0.5)
GENERATOR = torch.Generator().manual_seed(3)
SPREAD = torch.tensor([5.0, 1, 1, 0.2, 3, 0.1], dtype=torch.float64)
X = torch.randn(50, 6, generator=GENERATOR, dtype=torch.float64) * SPREAD
G = torch.randn(50, 7, generator=GENERATOR, dtype=torch.float64).cumsum(1)


def moments() -> tuple[torch.Tensor, torch.Tensor]:
    z, h = X @ GIVEN.a.T, G @ GIVEN.b
    return z.T @ z / len(X), h.T @ h / len(G)


def root(matrix: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.sqrt()) @ vectors.T


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_it_is_the_dense_svd_taken_back_through_both_roots(rank: int) -> None:
    left, right = root(G.T @ G / len(G)), root(X.T @ X / len(X))
    svd = torch.linalg.svd(left @ GIVEN.dense() @ right)
    cut = (svd.U[:, :rank] * svd.S[:rank]) @ svd.Vh[:rank]
    expected = torch.linalg.solve(left, cut) @ torch.linalg.inv(right)
    parts = decompose_by_loss(GIVEN, *moments())
    torch.testing.assert_close(parts.energies, svd.S[:4].square())
    torch.testing.assert_close(truncate(parts, rank).dense(), expected)


def test_it_errs_less_in_what_the_loss_sees_than_the_plain_svd_does() -> None:
    def error(kept: torch.Tensor) -> float:
        moved = G @ (GIVEN.dense() - kept) @ X.T  # every gradient with every input
        return float(moved.square().mean())

    parts = decompose_by_loss(GIVEN, *moments())
    by_loss = error(truncate(parts, 2).dense())
    assert by_loss < 0.5 * error(truncate(decompose(GIVEN).components, 2).dense())
    assert by_loss == pytest.approx(float(parts.energies[2:].sum()))


def test_white_inputs_and_gradients_make_it_the_plain_svd() -> None:
    parts = decompose_by_loss(GIVEN, GIVEN.a @ GIVEN.a.T, GIVEN.b.T @ GIVEN.b)
    plain = decompose(GIVEN).components
    torch.testing.assert_close(parts.energies, plain.energies)
    torch.testing.assert_close(truncate(parts, 2).dense(), truncate(plain, 2).dense())


@pytest.mark.parametrize("dead", ["a", "b"])
def test_nothing_is_lost_where_nothing_is_cut(dead: str) -> None:
    """Though a factor is singular, and one direction is seen neither by inputs nor gradients."""
    a, b = GIVEN.a.clone(), GIVEN.b.clone()
    (a if dead == "a" else b.T)[1] = 0
    given = Update(a, b, GIVEN.scale)
    x, g = X @ a.T, (G - G.mean(1, keepdim=True)) @ b
    inputs, gradients = x.T @ x, g.T @ g
    parts = decompose_by_loss(
        given, regularised(inputs, a, 0.01), regularised(gradients, b.T, 0.01)
    )
    torch.testing.assert_close(truncate(parts, 4).dense(), given.dense())


def test_an_update_that_is_zero_stays_zero() -> None:
    nothing = Update(GIVEN.a, torch.zeros_like(GIVEN.b))
    parts = decompose_by_loss(nothing, moments()[0], torch.zeros(4, 4))
    assert not parts.energies.any() and not truncate(parts, 4).dense().any()


@pytest.mark.parametrize("wrong", [torch.eye(3), torch.full((4, 4), float("nan"))])
def test_what_is_no_moment_is_refused(wrong: torch.Tensor) -> None:
    for pair in ((wrong, torch.eye(4)), (torch.eye(4), wrong)):
        with pytest.raises(InputError, match="second moments"):
            decompose_by_loss(GIVEN, *pair)
