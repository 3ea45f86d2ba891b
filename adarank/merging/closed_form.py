"""Merging by a method that needs no data: one weight at a time, adapters in their factors."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Generator, Tensor

from adarank.errors import input_error
from adarank.factors.svd import Update
from adarank.merging.core_space import CoreSpace, core_space, dense_core_space
from adarank.merging.methods.knots_ties import knots_ties
from adarank.merging.methods.ties import magnitude_threshold
from adarank.merging.parameters import Value
from adarank.merging.registry import METHODS, Method, Site, complete
from adarank.merging.task_vectors import (
    MATRICES,
    Member,
    Vector,
    all_factored,
    check_members,
    dense,
    stacked,
    vectors_of,
    weight_names,
)


class MergedWeights(Mapping[str, Vector]):
    """By weight name, what to add to the base; each weight is merged when it is asked for.

    Factors where all members are adapters and the method keeps them, else a dense tensor. So a
    model of any size is merged with one weight of each member in memory.
    """

    def __init__(
        self,
        members: Sequence[Member],
        method: Method,
        values: Mapping[str, Value],
        seed: int = 0,
    ) -> None:
        """Check the members and parameters, and find what is needed of all weights together.

        Args:
            members: At least two of one base.
            method: Any but a learned one.
            values: Parameters that differ from the method's defaults.
            seed: Decides what is random; the result of one weight does not depend on the others.

        Raises:
            InputError: Unfit members or parameters, or a method that is learned.
        """
        self._members, self._method, self._seed = members, method, seed
        self._values = complete(method, values)
        if method.learned:
            raise input_error(
                "this method learns on texts", where="method", got=method.name, expected="texts"
            )
        check_members(members)
        self._names = weight_names(members)
        density = float(self._values.get("density", 1))
        trimmed = method.name == "ties"
        self._thresholds = whole_thresholds(members, density) if trimmed else None

    def __getitem__(self, name: str) -> Vector:
        site = Site(self._values, _generator(self._seed, name), thresholds=self._thresholds)
        vectors = vectors_of(self._members, name)
        if all(vector is None for vector in vectors):
            raise KeyError(name)
        return merge_weight(vectors, self._method, site)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def merge_weight(vectors: Sequence[Vector | None], method: Method, site: Site) -> Vector:
    """Merge the task vectors of one weight; None is a member that does not change it."""
    factored = all_factored(vectors)
    if factored and method.space == "shared":
        return knots_ties(
            _updates(vectors), scaling=site.number("scaling"), density=site.number("density")
        )
    inner = METHODS[str(site.values["inner"])] if method.space == "core" else method
    if factored and method.space in ("core", "spectral"):
        return _in_core(core_space(vectors), inner, site)
    taus = stacked(vectors)
    if method.space == "core" and taus.ndim == MATRICES:
        return _in_core(dense_core_space(taus), inner, site)
    return _apply(inner, taus, site)


def whole_thresholds(members: Sequence[Member], density: float) -> Tensor:
    """Each member's magnitude above which TIES keeps entries, over all its weights."""
    bounds = [
        magnitude_threshold(lambda m=m: (dense(m.vectors[name]) for name in m.vectors), density)
        for m in members
    ]
    return torch.tensor(bounds)


def _in_core(core: CoreSpace, method: Method, site: Site) -> Update:
    inner = Site(site.values, site.generator, core.size)
    return core.update(_apply(method, core.cores, inner))


def _apply(method: Method, vectors: Tensor, site: Site) -> Tensor:
    assert method.rule is not None
    return method.rule(vectors, site)


def _updates(vectors: Sequence[Vector | None]) -> list[Update]:
    there = [vector for vector in vectors if isinstance(vector, Update)]
    like = there[0]
    nothing = Update(like.a[:0], like.b[:, :0])
    return [vector if isinstance(vector, Update) else nothing for vector in vectors]


def _generator(seed: int, name: str) -> Generator:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
