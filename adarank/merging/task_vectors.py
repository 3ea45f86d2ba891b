"""What is merged: members of one base, and their task vectors, weight by weight.

A task vector tau_t = theta_t - theta_base (Ilharco et al. 2022, arXiv 2212.04089). Of a LoRA
adapter it is s B A and stays in its factors; of a whole model it is a dense tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adarank.errors import InputError, Problem
from adarank.factors.svd import Update

Vector = Tensor | Update
"""What one member changes in one weight, in the orientation in which the base stores it."""


@dataclass(frozen=True)
class Member:
    """One fine-tuned model.

    Attributes:
        task: Its task's name; unique among the members.
        vectors: By the weight's full name in the base model (no head's prefix). May be lazy: a
            mapping that reads a tensor from a file when it is asked for.
        head: By full name in the member: tensors outside the base, which stay with the task.
        excluded: Names of weights that the member may have changed and that are not merged.
    """

    task: str
    vectors: Mapping[str, Vector]
    head: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    excluded: tuple[str, ...] = ()


def excluded_of(members: Sequence[Member]) -> tuple[str, ...]:
    """The weights that some member may have changed and that are not merged, sorted."""
    return tuple(sorted({name for member in members for name in member.excluded}))


def dense(vector: Vector) -> Tensor:
    """The task vector as one tensor; an adapter's in float64."""
    return vector.dense() if isinstance(vector, Update) else vector


MATRICES = 3
"""Dimensions of the stacked task vectors of a matrix."""


def all_factored(vectors: Sequence[Vector | None]) -> bool:
    """Whether all members that change the weight are adapters, so that factors suffice."""
    return all(vector is None or isinstance(vector, Update) for vector in vectors)


def stacked(vectors: Sequence[Vector | None]) -> Tensor:
    """Stack the members' task vectors of one weight, shape (n_tasks, *weight).

    None stands for a member that does not change this weight: zeros. At least one is not None.
    """
    tensors = [None if vector is None else dense(vector) for vector in vectors]
    like = next(tensor for tensor in tensors if tensor is not None)
    wide = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return torch.stack(
        [torch.zeros_like(like, dtype=wide) if t is None else t.to(wide) for t in tensors]
    )


def weight_names(members: Sequence[Member]) -> list[str]:
    """Every weight that some member changes, sorted."""
    return sorted({name for member in members for name in member.vectors})


def vectors_of(members: Sequence[Member], name: str) -> list[Vector | None]:
    """What each member changes in one weight; None for nothing."""
    return [member.vectors.get(name) for member in members]


def check_members(members: Sequence[Member]) -> None:
    """Refuse members that cannot be merged, with all that is wrong.

    Raises:
        InputError: Fewer than two; two of one name; vectors of one weight that differ in shape;
            numbers that are not finite.
    """
    problems: list[Problem] = []
    if len(members) < 2:
        problems.append(
            Problem(
                "there is nothing to merge",
                "members",
                f"{len(members)}",
                "at least two members",
                "name another adapter or model of the same base",
            )
        )
    tasks = [member.task for member in members]
    for task in sorted({task for task in tasks if tasks.count(task) > 1}):
        problems.append(
            Problem("two members of one task", "members", task, "one name a task", "rename one")
        )
    for name in weight_names(members):
        problems += _weight_problems(members, name)
    if problems:
        raise InputError(*problems)


def shape_of(vector: Vector) -> tuple[int, ...]:
    """The shape of the weight that a vector changes."""
    if isinstance(vector, Update):
        return vector.b.shape[0], vector.a.shape[1]
    return tuple(vector.shape)


def _weight_problems(members: Sequence[Member], name: str) -> list[Problem]:
    problems: list[Problem] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for member in members:
        vector = member.vectors.get(name)
        if vector is None:
            continue
        shapes[member.task] = shape_of(vector)
        parts = [vector.a, vector.b] if isinstance(vector, Update) else [vector]
        broken = sum(int((~part.isfinite()).sum()) for part in parts)
        if broken:
            problems.append(
                Problem(
                    "numbers that are not finite",
                    f"{member.task}: {name}",
                    f"{broken} of them",
                    "finite numbers",
                    "its training diverged; use an earlier checkpoint",
                )
            )
    if len(set(shapes.values())) > 1:
        problems.append(
            Problem(
                "the members are of different bases",
                name,
                ", ".join(f"{task} {shape}" for task, shape in shapes.items()),
                "one shape",
                "merge members of one base model",
            )
        )
    return problems
