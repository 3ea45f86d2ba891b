"""Peak memory of linearized scoring against what a plain training step has to hold.

On a CPU, every tensor that torch makes is followed from its making to its end, and the most that
lived at once is the peak: exact, repeatable, and blind only to a kernel's private workspace. The
process's resident size would not do: the allocator gives freed memory back late, or never. On
CUDA, the allocator's own count is used.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adarank.models.modules import resolve
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.outputs import Batch, compared_output
from bench.subjects import Subject


def peak_memory_ratio(subject: Subject) -> float:
    """Divide linearized scoring's peak by (a training step's activations + one gradient).

    Both are measured on the batch with most tokens, above the weights. The training step has
    every weight trainable, keeps what its forward saved for the backward, and is without dropout,
    whose masks would only raise the divisor. The gradient is the largest module's.
    """
    batch = max(subject.batches, key=lambda part: next(iter(part.values())).numel())
    model = subject.model
    settings = Linearized()
    scoring = peak_bytes(model, lambda: linearized(model, [batch], subject.modules, settings))
    return scoring / (activation_bytes(model, batch) + largest_gradient_bytes(subject))


def activation_bytes(model: nn.Module, batch: Batch) -> int:
    """Count what is alive after a forward with every weight trainable, beyond the weights."""
    with _live(model) as live:
        loss = compared_output(model, batch, "pooled").float().square().mean()
        held = live()[0]
        del loss
    return held


def largest_gradient_bytes(subject: Subject) -> int:
    """Bytes of the largest module's weight and bias."""
    layers = [subject.model.get_submodule(resolve(subject.model, m.name)) for m in subject.modules]
    return max(sum(p.nbytes for p in layer.parameters()) for layer in layers)


def peak_bytes(model: nn.Module, work: Callable[[], object]) -> int:
    """Count the most that was alive at once while `work` ran, beyond what lived before."""
    with _live(model) as live:
        work()
        return live()[1]


@contextmanager
def _live(model: nn.Module) -> Iterator[Callable[[], tuple[int, int]]]:
    """Give a function that returns (bytes now, peak bytes), both since the body began."""
    if next(model.parameters()).device.type != "cuda":
        with Ledger() as ledger:
            yield lambda: (ledger.now, ledger.peak)
        return
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    yield lambda: (
        torch.cuda.memory_allocated() - before,
        torch.cuda.max_memory_allocated() - before,
    )


class Ledger(TorchDispatchMode):
    """Follows the storage of every tensor made while it is entered.

    Attributes:
        now: Bytes alive.
        peak: Most bytes alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation, and count what it made."""
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if _is(leaf)}
        result = func(*args, **kwargs or {})
        for leaf in tree_leaves(result):
            if _is(leaf) and id(leaf.untyped_storage()) not in given | self._known:
                self._enter(leaf.untyped_storage())
        return result

    def _enter(self, storage: torch.UntypedStorage) -> None:
        size, key = storage.nbytes(), id(storage)
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _is(leaf: object) -> bool:
    return isinstance(leaf, Tensor)
