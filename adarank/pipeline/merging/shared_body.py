"""Several tasks' heads on one base model, to which merges are added and taken off again."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from adarank.errors import input_error
from adarank.merging.loaded import add_to
from adarank.merging.task_vectors import Vector
from adarank.models.stacks import base_model
from adarank.tasks.base import Task


class SharedBody:
    """One body under every task's head.

    Attributes:
        body: The base model, without a head.
        prefix: Its dotted name in the tasks' models; empty where these are base models.
        models: Each task's model, in the tasks' order; all hold the same body.
    """

    def __init__(
        self, folder: Path, tasks: Sequence[Task], heads: Sequence[Mapping[str, Tensor]]
    ) -> None:
        """Load the base once a task, and keep one of them.

        Args:
            folder: The base model's.
            tasks: They build the heads.
            heads: Each task's tensors outside the base, by full name in the task's model.

        Raises:
            InputError: A head that is not the task's.
        """
        self.models: list[nn.Module] = []
        for task, head in zip(tasks, heads, strict=True):
            headed = task.build(folder, 0)  # the head's start is overwritten
            _load_head(headed.model, headed.head, head)
            prefix, own = base_model(headed.model)
            if not self.models:
                self.prefix, self.body = prefix, own
            self.models.append(_on(self.body, headed.model, prefix, headed.head))
        for model in self.models:
            model.eval().requires_grad_(False)

    @contextmanager
    def merged(self, vectors: Mapping[str, Vector]) -> Iterator[None]:
        """Have the body be a merge inside; afterwards every weight is what it was, bit for bit."""
        weights = dict(self.body.named_parameters())
        before = {name: weights[name].detach().clone() for name in vectors}
        add_to(self.body, vectors)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in before.items():
                    weights[name].copy_(tensor)


def _load_head(model: nn.Module, parts: Sequence[str], head: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    wanted = {name for name in own if any(name.startswith(f"{part}.") for part in parts)}
    unfit = sorted(wanted ^ head.keys())
    unfit += [name for name in wanted & head.keys() if own[name].shape != head[name].shape]
    if unfit:
        raise input_error(
            "the member's head is not that of its task",
            where=unfit[0],
            got=", ".join(sorted(head)) or "no head",
            expected=", ".join(sorted(wanted)),
            remedy="delete the adapter's folder and run `dvc repro`, which trains it again",
        )
    model.load_state_dict(dict(head), strict=False)


def _on(body: nn.Module, model: nn.Module, prefix: str, parts: Sequence[str]) -> nn.Module:
    """Put a task's model on the body, but for parts of its head that lie inside the base."""
    if not prefix:
        return body
    inside = [part for part in parts if part.startswith(f"{prefix}.")]
    own = _copied(body) if inside else body
    for part in inside:
        *above, last = part.removeprefix(f"{prefix}.").split(".")
        at = own
        for step in above:
            child = _copied(at.get_submodule(step))
            at.register_module(step, child)
            at = child
        at.register_module(last, model.get_submodule(part))
    setattr(model, prefix, own)
    return model


def _copied(module: nn.Module) -> nn.Module:
    """A module of the same parameters and parts, of which parts can be replaced."""
    copied = copy.copy(module)
    copied.__dict__["_modules"] = dict(module.__dict__["_modules"])
    return copied
