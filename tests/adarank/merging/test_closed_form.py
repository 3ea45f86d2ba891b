"""Members merged weight by weight: adapters in factors give what their dense matrices give."""

import pytest
import torch

from adarank.errors import InputError
from adarank.factors.svd import Update
from adarank.merging.closed_form import MergedWeights
from adarank.merging.core_space import core_space
from adarank.merging.registry import METHODS, complete, method_named
from adarank.merging.task_vectors import Member, dense
from tests.adarank.merging.vectors import adapters, as_dense, random_updates

CLOSED = [name for name, method in METHODS.items() if not method.learned]


@pytest.mark.parametrize("name", [name for name in CLOSED if name != "core_space"])
def test_adapters_in_factors_equal_their_dense_matrices(name: str) -> None:
    method, members = METHODS[name], adapters()
    factored = dict(MergedWeights(members, method, {}, seed=5))
    multiplied = dict(MergedWeights(as_dense(members), method, {}, seed=5))
    assert factored.keys() == multiplied.keys() == {"one.weight", "two.weight"}
    for weight, vector in factored.items():
        assert isinstance(vector, Update) == (method.space != "entries")
        torch.testing.assert_close(dense(vector), dense(multiplied[weight]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("inner", ["average", "task_arithmetic", "tsv_m", "iso_c", "cart"])
def test_core_space_with_a_spectral_rule_is_that_rule(inner: str) -> None:
    members, own = adapters(), METHODS[inner].parameters
    values = dict.fromkeys(own, 0.7)
    direct = dict(MergedWeights(as_dense(members), METHODS[inner], values))
    core = dict(MergedWeights(members, METHODS["core_space"], {"inner": inner, **values}))
    for weight, vector in core.items():
        torch.testing.assert_close(dense(vector), dense(direct[weight]), rtol=1e-9, atol=1e-9)


def test_ties_in_core_space_is_another_rule_than_ties_on_entries() -> None:
    members = adapters()
    direct = dict(MergedWeights(members, METHODS["ties"], {}))
    core = dict(MergedWeights(members, METHODS["core_space"], {"inner": "ties"}))
    assert not torch.allclose(dense(core["one.weight"]), dense(direct["one.weight"]))


def test_cores_hold_the_adapters_exactly() -> None:
    updates = random_updates()
    space = core_space(updates)
    assert space.cores.shape == (3, 6, 6)
    for update, core in zip(updates, space.cores, strict=True):
        torch.testing.assert_close(space.update(core).dense(), update.dense())


def test_an_adapter_and_a_whole_model_merge_together() -> None:
    members = adapters()
    mixed = [members[0], *as_dense(members)[1:]]
    for name in CLOSED:
        merged = dict(MergedWeights(mixed, METHODS[name], {}))
        assert isinstance(merged["one.weight"], torch.Tensor | Update)


def test_dare_depends_on_the_seed_and_on_no_other_weight() -> None:
    members, dare = adapters(), METHODS["dare"]
    alone = [Member(m.task, {"one.weight": m.vectors["one.weight"]}) for m in members]

    def first(merged: list[Member], seed: int) -> torch.Tensor:
        return dense(dict(MergedWeights(merged, dare, {}, seed))["one.weight"])

    assert torch.equal(first(members, 1), first(alone, 1))
    assert not torch.equal(first(members, 1), first(members, 2))


def refused(members: list[Member], text: str) -> None:
    with pytest.raises(InputError, match=text):
        list(MergedWeights(members, METHODS["average"], {}))


def test_one_member_alone_is_refused() -> None:
    refused(adapters()[:1], "at least two members")


def test_two_members_of_one_task_are_refused() -> None:
    refused([adapters()[0], adapters()[0]], "one name a task")


def test_a_member_with_nan_is_refused_by_task_and_weight() -> None:
    members = adapters()
    broken = random_updates()[0]
    broken.a[0, 0] = float("nan")
    members[0] = Member("trees", {"one.weight": broken})
    refused(members, "trees: one.weight")


def test_members_of_other_shapes_are_refused() -> None:
    other = Member("seas", {"one.weight": torch.zeros(3, 3)})
    refused([*adapters(), other], "of different bases")


def test_parameters_are_checked_all_at_once() -> None:
    with pytest.raises(InputError) as raised:
        complete(METHODS["ties"], {"density": 2.0, "scaling": [0.1, 0.2], "drop": 0.1})  # pyright: ignore[reportArgumentType]
    said = str(raised.value)
    assert all(text in said for text in ("density", "one number", "no such parameter"))


def test_an_unknown_method_names_those_there_are() -> None:
    with pytest.raises(InputError, match="task_arithmetic, ties"):
        method_named("slerp")


def test_every_method_says_where_it_is_from() -> None:
    for method in METHODS.values():
        assert "arXiv" in method.paper and str(method.year) in method.paper
        complete(method, {})
