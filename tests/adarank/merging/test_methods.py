"""Every method against its formula on small dense cases, and against PEFT's where it has it."""

import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from peft.utils import merge_utils
from scipy.linalg import polar as scipy_polar
from torch import Tensor

from adarank.errors import InputError
from adarank.merging.methods.average import average
from adarank.merging.methods.cart import cart
from adarank.merging.methods.dare import dare
from adarank.merging.methods.dare_ties import dare_ties
from adarank.merging.methods.iso_c import iso_c
from adarank.merging.methods.knots_ties import knots_ties
from adarank.merging.methods.task_arithmetic import task_arithmetic
from adarank.merging.methods.ties import magnitude_threshold, ties
from adarank.merging.methods.tsv_m import tsv_m
from tests.adarank.merging.vectors import random_stack


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_average_and_task_arithmetic_are_a_mean_and_a_scaled_sum() -> None:
    vectors = random_stack()
    close(average(vectors), (vectors[0] + vectors[1] + vectors[2]) / 3)
    close(task_arithmetic(vectors, scaling=0.4), 0.4 * (vectors[0] + vectors[1] + vectors[2]))


def plain_ties(vectors: np.ndarray, density: float, scaling: float) -> np.ndarray:
    """The paper's three steps, entry by entry."""
    trimmed = np.zeros_like(vectors)
    for task, vector in enumerate(vectors):
        flat = np.abs(vector).ravel()
        for index in np.argsort(-flat)[: int(density * len(flat))]:
            trimmed[task].flat[index] = vector.flat[index]
    merged = np.zeros_like(vectors[0])
    for place in np.ndindex(*merged.shape):
        entries = [trimmed[(task, *place)] for task in range(len(vectors))]
        sign = np.sign(sum(entries))
        agreeing = [entry for entry in entries if entry != 0 and np.sign(entry) == sign]
        merged[place] = scaling * sum(agreeing) / len(agreeing) if agreeing else 0.0
    return merged


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_ties_is_its_three_steps_and_what_peft_makes_of_one_tensor(density: float) -> None:
    vectors = random_stack()
    merged = ties(vectors, density=density, scaling=0.7)
    close(merged, torch.from_numpy(plain_ties(vectors.numpy(), density, 0.7)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of a density of 1
        theirs = merge_utils.ties(list(vectors), torch.ones(3, dtype=torch.float64), density)
    close(merged, 0.7 * theirs)


def test_ties_of_one_tensor_is_what_mergekit_makes_of_it() -> None:
    """Both trim each tensor; the paper, and `thresholds` here, trim a task's whole vector."""
    task_arithmetic_kit = pytest.importorskip(
        "mergekit.merge_methods.generalized_task_arithmetic", exc_type=ImportError
    )
    sparsify = pytest.importorskip("mergekit.sparsify", exc_type=ImportError)
    vectors, how = random_stack(), sparsify.SparsificationMethod.magnitude
    trimmed = torch.stack([sparsify.sparsify(v, density=0.5, method=how) for v in vectors])
    mask = task_arithmetic_kit.get_mask(trimmed, method="sum")
    close(ties(vectors, density=0.5), (trimmed * mask).sum(0) / mask.sum(0).clamp(min=1))


def test_ties_of_the_whole_vector_differs_from_trimming_each_weight() -> None:
    small, large = random_stack(seed=1), 100 * random_stack(seed=2)
    bounds = [magnitude_threshold(lambda t=t: [small[t], large[t]], 0.2) for t in range(3)]
    assert not ties(small, thresholds=torch.tensor(bounds)).any()
    assert ties(small, density=0.2).any()


@given(
    st.lists(st.floats(-1024, 1024, width=32), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
)
def test_the_threshold_is_the_k_th_largest_magnitude(values: list[float], density: float) -> None:
    tensor = torch.tensor(values)
    wanted = int(density * len(values))
    found = magnitude_threshold(lambda: tensor.split(7), density)
    if wanted:
        assert found == float(tensor.abs().topk(wanted).values[-1])
    else:
        assert found == float("inf")


def test_a_density_outside_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="0 < x <= 1"):
        ties(random_stack(), density=0.0)


def test_dare_drops_and_rescales_as_peft_does_with_the_same_draws() -> None:
    vectors = random_stack()
    seed = torch.Generator().manual_seed(3)
    kept = torch.rand(vectors.shape, generator=torch.Generator().manual_seed(3)) >= 0.4
    close(dare(vectors, seed, drop=0.4, scaling=0.5), 0.5 * (kept * vectors / 0.6).sum(0))
    seed = torch.Generator().manual_seed(3)
    dropped = list(kept * vectors / 0.6)
    # PEFT draws by torch.bernoulli, so its part after the dropping is what can be compared.
    sign = merge_utils.calculate_majority_sign_mask(torch.stack(dropped))
    theirs = merge_utils.disjoint_merge(torch.stack(dropped), sign)
    close(dare_ties(vectors, seed, drop=0.4), theirs)


def test_dare_keeps_the_mean() -> None:
    vectors = torch.ones(1, 400, 400)
    merged = dare(vectors, torch.Generator().manual_seed(0), drop=0.9, scaling=1.0)
    assert merged.mean().item() == pytest.approx(1.0, abs=0.05)
    assert (merged == 0).double().mean().item() == pytest.approx(0.9, abs=0.01)


def test_tsv_m_is_the_product_of_the_polar_factors() -> None:
    vectors = random_stack(3, 7, 9)
    u, s, vh = (np.stack(x) for x in zip(*map(np.linalg.svd, vectors.numpy()), strict=True))
    left = scipy_polar(np.concatenate([u[t][:, :2] for t in range(3)], axis=1))[0]
    right = scipy_polar(np.concatenate([vh[t][:2].T for t in range(3)], axis=1))[0]
    wanted = left @ np.diag(np.concatenate([s[t][:2] for t in range(3)])) @ right.T
    close(tsv_m(vectors), torch.from_numpy(wanted))


def test_iso_c_gives_every_direction_of_the_sum_one_weight() -> None:
    vectors = random_stack()
    u, sigma, vh = np.linalg.svd(vectors.sum(0).numpy(), full_matrices=False)
    close(iso_c(vectors, scaling=1.3), torch.from_numpy(1.3 * sigma.mean() * u @ vh))


def test_cart_is_the_mean_and_the_leading_parts_around_it() -> None:
    vectors = random_stack(3, 6, 8)
    mean = vectors.mean(0).numpy()
    wanted = mean.copy()
    for vector in vectors.numpy():
        u, sigma, vh = np.linalg.svd(vector - mean, full_matrices=False)
        wanted += 0.8 * (u[:, :2] * sigma[:2]) @ vh[:2]
    close(cart(vectors, scaling=0.8, ratio=2 / 6), torch.from_numpy(wanted))


def test_cart_of_all_components_and_lambda_one_is_the_sum() -> None:
    vectors = random_stack()
    mean = vectors.mean(0)
    close(cart(vectors, scaling=1.0, ratio=1.0), mean + (vectors - mean).sum(0))


def test_knots_merges_the_right_parts_of_the_joint_decomposition() -> None:
    vectors = random_stack(3, 6, 8)
    u, sigma, vh = np.linalg.svd(np.concatenate(list(vectors.numpy()), 1), full_matrices=False)
    parts = np.stack(np.split(vh, 3, axis=1))
    wanted = u @ np.diag(sigma) @ plain_ties(parts, 0.3, 0.9)
    merged = knots_ties(vectors, density=0.3, scaling=0.9)
    assert isinstance(merged, Tensor)
    close(merged, torch.from_numpy(wanted))


def test_members_that_agree_are_merged_into_themselves() -> None:
    one = random_stack(1)
    same = one.expand(3, -1, -1)
    close(average(same), one[0])
    close(ties(same, density=1.0), one[0])
    close(cart(same), one[0])
    knots = knots_ties(same, density=1.0)
    assert isinstance(knots, Tensor)
    close(knots, one[0])


def test_tensors_that_are_no_matrices_are_averaged_by_spectral_methods() -> None:
    vectors = random_stack()[:, 0]
    for rule in (tsv_m, iso_c, cart):
        close(rule(vectors), vectors.mean(0))
