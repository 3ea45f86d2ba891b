import pytest
import torch

from adarank.errors import InputError
from adarank.factors.loss_metric import decompose_by_loss, regularised
from adarank.factors.svd import decompose
from adarank.factors.truncation import truncate
from tests.adarank.factors.updates import update

GIVEN = update(7, 6, 4, scale=-0.5)
X = torch.randn(
    50, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64
) * torch.tensor([5.0, 1, 1, 0.2, 3, 0.1], dtype=torch.float64)
G = 2.5


def moment_of_inputs(share: float = 0.0) -> torch.Tensor:
    z = X @ GIVEN.a.T
    return regularised(z.T @ z / len(X), GIVEN, float(X.square().sum(1).mean()), share)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_it_is_the_dense_svd_of_dw_l_taken_back(rank: int) -> None:
    share = 0.01
    eps = share * float(X.square().sum(1).mean()) / 6
    cholesky = torch.linalg.cholesky(X.T @ X / len(X) + eps * torch.eye(6, dtype=torch.float64))
    svd = torch.linalg.svd(G**0.5 * GIVEN.dense() @ cholesky, full_matrices=False)
    cut = (svd.U[:, :rank] * svd.S[:rank]) @ svd.Vh[:rank]
    expected = torch.linalg.solve_triangular(cholesky.T, cut.T, upper=True).T / G**0.5
    parts = decompose_by_loss(GIVEN, moment_of_inputs(share), G)
    torch.testing.assert_close(parts.energies, svd.S[:4].square())
    torch.testing.assert_close(truncate(parts, rank).dense(), expected)


def test_it_errs_less_on_the_inputs_than_the_plain_svd_does() -> None:
    def error(kept: torch.Tensor) -> float:
        return float(((GIVEN.dense() - kept) @ X.T).square().sum() / len(X))

    parts = decompose_by_loss(GIVEN, moment_of_inputs(), 1.0)
    by_loss = error(truncate(parts, 2).dense())
    assert by_loss < 0.8 * error(truncate(decompose(GIVEN).components, 2).dense())
    assert by_loss == pytest.approx(float(parts.energies[2:].sum()))


def test_white_inputs_make_it_the_plain_svd() -> None:
    white = GIVEN.a @ GIVEN.a.T
    parts, plain = decompose_by_loss(GIVEN, white, 1.0), decompose(GIVEN).components
    torch.testing.assert_close(parts.energies, plain.energies)
    torch.testing.assert_close(truncate(parts, 2).dense(), truncate(plain, 2).dense())


def test_directions_that_no_input_takes_survive_where_nothing_is_cut() -> None:
    parts = decompose_by_loss(GIVEN, torch.zeros(4, 4), 1.0)
    torch.testing.assert_close(truncate(parts, 4).dense(), GIVEN.dense())


@pytest.mark.parametrize(
    ("moment", "weight"),
    [(torch.eye(3), 1.0), (torch.full((4, 4), float("nan")), 1.0), (torch.eye(4), -1.0)],
)
def test_what_is_no_moment_is_refused(moment: torch.Tensor, weight: float) -> None:
    with pytest.raises(InputError, match="second moment"):
        decompose_by_loss(GIVEN, moment, weight)
