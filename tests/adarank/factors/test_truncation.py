from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adarank.errors import InputError
from adarank.factors.joining import distance
from adarank.factors.svd import decompose
from adarank.factors.truncation import ranks_within, truncate
from tests.adarank.factors.updates import update


@pytest.mark.parametrize("rank", [0, 1, 3, 4])
def test_a_truncated_update_is_the_closest_of_its_rank(rank: int) -> None:
    whole = update(7, 6, 4)
    kept = truncate(decompose(whole).components, rank, scale=0.5)
    dense = torch.linalg.svd(whole.dense())
    best = (dense.U[:, :rank] * dense.S[:rank]) @ dense.Vh[:rank]
    assert (kept.rank, kept.scale) == (rank, 0.5)
    torch.testing.assert_close(kept.dense(), best)
    torch.testing.assert_close(kept.a.norm(dim=1), kept.b.norm(dim=0))
    assert distance(whole, kept) == pytest.approx(float(dense.S[rank:].norm()), abs=1e-12)


def test_a_rank_beyond_the_components_is_refused() -> None:
    with pytest.raises(InputError, match="0 to 2"):
        truncate(decompose(update(5, 5, 2)).components, 3)


def kept_energy(energies: dict[str, list[float]], ranks: dict[str, int]) -> float:
    return sum(sum(energies[name][:rank]) for name, rank in ranks.items())


def best_by_trying(
    energies: dict[str, list[float]], costs: dict[str, int], budget: int
) -> tuple[int, float]:
    """The largest spend that any ranks reach within the budget, and the most energy at it."""
    names = list(energies)
    tried = (
        dict(zip(names, r, strict=True))
        for r in product(*(range(len(energies[n]) + 1) for n in names))
    )
    spends = [
        (sum(costs[n] * r for n, r in ranks.items()), kept_energy(energies, ranks))
        for ranks in tried
    ]
    return max(spend for spend in spends if spend[0] <= budget)


modules = st.lists(
    st.tuples(
        st.sampled_from([2, 3, 5, 7, 8, 18]),
        st.lists(st.one_of(st.floats(0, 100), st.integers(0, 3)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=300)
@given(modules, st.integers(0, 120))
def test_no_ranks_within_the_budget_keep_more(
    found: list[tuple[int, list[float]]], budget: int
) -> None:
    energies = {f"m{i}": sorted(map(float, e), reverse=True) for i, (_, e) in enumerate(found)}
    costs = {f"m{i}": 3 * cost for i, (cost, _) in enumerate(found)}
    choice = ranks_within(energies, costs, 3 * budget + 1)
    spend, energy = best_by_trying(energies, costs, 3 * budget + 1)
    assert choice.parameters == spend
    assert sum(costs[n] * r for n, r in choice.ranks.items()) == spend
    assert kept_energy(energies, choice.ranks) == pytest.approx(energy)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 15))
def test_what_a_uniform_rank_costs_is_spent_exactly(seed: int, rank: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    costs = {f"{i}.{kind}": c for i in range(12) for kind, c in SHAPES_OF_A_LLAMA.items()}
    energies = {
        name: torch.rand(16, generator=generator).sort(descending=True).values.tolist()
        for name in costs
    }
    budget = rank * sum(costs.values())
    choice = ranks_within(energies, costs, budget)
    assert choice.parameters == budget
    assert kept_energy(energies, choice.ranks) >= kept_energy(energies, dict.fromkeys(costs, rank))


SHAPES_OF_A_LLAMA = {"q": 8192, "k": 5120, "v": 5120, "o": 8192, "up": 18432, "down": 18432}


def test_order_of_the_modules_does_not_matter() -> None:
    energies = {name: [1.0, 1.0, 0.5] for name in "abcdef"}
    costs = dict.fromkeys("abcdef", 4)
    there, back = (
        ranks_within(dict(order), costs, 28)
        for order in (sorted(energies.items()), sorted(energies.items(), reverse=True))
    )
    assert there.ranks == back.ranks and there.parameters == 28


def test_everything_is_kept_where_the_budget_allows() -> None:
    choice = ranks_within({"a": [4.0, 0.0], "b": [1.0]}, {"a": 3, "b": 4}, 1000)
    assert (choice.ranks, choice.parameters) == ({"a": 2, "b": 1}, 10)
