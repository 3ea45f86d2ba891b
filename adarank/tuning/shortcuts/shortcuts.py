"""Which shortcuts a training run may take: those shown, on its own rows, to change nothing.

Before a run, a few rows of different lengths go forward and backward with and without
each shortcut. It is taken where losses and all gradients agree. No list of architectures is
needed, and a model whose structure defeats a shortcut is trained without it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from adarank.models.modules import Module
from adarank.models.stacks import base_model
from adarank.tasks.base import Batch, Example, Task
from adarank.tuning.loop.batches import length
from adarank.tuning.shortcuts.last_row import LastRow
from adarank.tuning.shortcuts.prefix import Prefix, States, frozen_blocks, hidden_of

LOSS_TOLERANCE = 1e-5
"""Largest difference of the losses, relative to the loss."""

GRADIENT_TOLERANCE = 1e-4
"""Largest difference of any gradient's entries, relative to the largest entry of all."""

LEAST_PASSES = 2.0
"""How often a cell must read its rows before storing all of their outputs saves time."""

PROOF_ROWS = 4

_FAILURES = (RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError)
"""What a model raises whose parts cannot be answered for; it is trained without."""

Outcome = tuple[Tensor, list[Tensor]]


@dataclass
class PrefixStore:
    """The stored outputs of frozen prefixes, for all runs of a cell.

    Attributes:
        limit_gb: Memory for them at most, in GiB; 0 for none at all.
        passes: How often the cell's runs read each row of theirs, on average.
        by_blocks: States by the number of frozen blocks: seeds may train different draws.
        said: Notes that the cell's earlier runs have given.
    """

    limit_gb: float = 1.0
    passes: float = math.inf
    by_blocks: dict[int, States] = field(default_factory=dict[int, States])
    said: set[str] = field(default_factory=set[str])

    def held_gb(self, *, without: States) -> float:
        """Return the memory of all states but some, in GiB."""
        held = [states for states in self.by_blocks.values() if states is not without]
        tensors = [tensor for states in held for tensor in states.values()]
        return sum(t.numel() * t.element_size() for t in tensors) / 2**30


_IN_BF16 = "it is computed in bfloat16, or the base is not held in float32"


@dataclass(frozen=True)
class Taken:
    """The shortcuts of one run.

    Attributes:
        prefix_blocks: Frozen blocks whose outputs are stored; 0 for none.
        last_row: Whether the last block computes only the token that the head reads.
        notes: Why a shortcut that the plan allows is not taken.
    """

    prefix_blocks: int = 0
    last_row: bool = False
    notes: tuple[str, ...] = ()


@contextmanager
def shortcuts(
    model: nn.Module,
    modules: Sequence[Module],
    task: Task,
    rows: Sequence[Example],
    store: PrefixStore,
    *,
    device: str = "cpu",
    bf16: bool = False,
) -> Iterator[Taken]:
    """Take, while the body runs, the shortcuts that change neither loss nor gradients.

    Args:
        model: A model with adapters, before its first step; moved to `device`. What requires a
            gradient must stay the same parameters all along. Others are left alone.
        modules: Every module of its base model, as they were before the adapters.
        task: Makes batches and losses.
        rows: All rows that the run will read, encoded.
        store: Where the prefix's outputs are kept; filled if it is not.
        device: `cpu` or `cuda`.
        bf16: Whether the run's forwards or the base's weights are not in float32: the stored
            outputs would not be the run's.
    """
    if not isinstance(model, PeftModel) or not rows:
        yield Taken()
        return
    model.to(device)  # pyright: ignore[reportArgumentType]
    model.train()
    inner = model.get_base_model()
    base = base_model(inner)[1]
    trims, blocks = task.peft_type == "SEQ_CLS", frozen_blocks(base) if store.limit_gb else []
    if not trims and not blocks:
        yield Taken()
        return
    proof = _Proof(model, task, rows, device)
    notes: list[str] = []
    with ExitStack() as stack:
        last_row = False
        if trims:
            trimmed = LastRow(inner, base, modules)
            if last_row := proof.holds_with(trimmed.installed):
                stack.enter_context(trimmed.installed())
        n_blocks = 0
        if blocks:
            prefix = Prefix(base, blocks, store.by_blocks.setdefault(len(blocks), {}))
            trial = stack.enter_context(ExitStack())
            trial.enter_context(prefix.installed())
            try:
                # In bfloat16 the stored outputs would not be those of the run.
                reason = _IN_BF16 if bf16 else _why_not(prefix, proof, rows, store)
            except _FAILURES:
                reason = "the model does not run without its first blocks"
            if reason is None:
                prefix.replay = True
                prefix.store(model, task, rows, device)
                n_blocks = len(blocks)
            else:
                trial.close()
                notes.append(f"the frozen prefix of {len(blocks)} blocks is not stored: {reason}")
        yield Taken(n_blocks, last_row, tuple(notes))


def _why_not(
    prefix: Prefix, proof: "_Proof", rows: Sequence[Example], store: PrefixStore
) -> str | None:
    """Describe why a prefix's outputs cannot be stored; None where they can."""
    if store.passes < LEAST_PASSES:
        return f"the cell's runs read each row {store.passes:.1f} times, too few to gain by it"
    prefix.replay = False
    seen: list[Any] = []
    for seed in range(2):
        proof.run(seed)
        seen.append(prefix.output)
    mask = proof.batch.get("attention_mask")
    first, second = map(hidden_of, seen)
    others = [part for part in seen[0][1:] if part is not None] if seen[0] is not first else []
    if mask is None or others or first.ndim != 3 or first.shape[:2] != mask.shape:
        return "its blocks pass on more than a hidden state per token"
    if first.requires_grad:
        return "something before it is trained"
    if not torch.equal(first[mask.bool()], second[mask.bool()]):
        return "its outputs are random; finetune.base_dropout: false switches its dropout off"
    size = sum(map(length, rows)) * first.shape[2] * first.element_size() / 2**30
    if size + store.held_gb(without=prefix.states) > store.limit_gb:
        return f"{size:.1f} GiB are more than finetune.prefix_cache_gb, {store.limit_gb:g}"
    prefix.replay = True
    prefix.store(proof.model, proof.task, proof.rows, proof.device)
    return None if proof.holds() else "the model's outputs depend on more than that"


class _Proof:
    """A forward and backward pass on a few rows, compared with the model's own."""

    def __init__(self, model: nn.Module, task: Task, rows: Sequence[Example], device: str):
        by_length = sorted(rows, key=length)
        last = len(rows) - 1
        places = {round(last * part / (PROOF_ROWS - 1)) for part in range(PROOF_ROWS)}
        self.model, self.task, self.device = model, task, device
        self.rows = [by_length[place] for place in sorted(places)]
        batch = task.collate(self.rows)
        self.batch: Batch = {name: tensor.to(device) for name, tensor in batch.items()}
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._reference = self.run()

    def run(self, seed: int = 0) -> Outcome:
        """Compute the loss and the gradients of all that is trained, with this seed's dropout."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            loss = self.task.loss(self.model, self.batch)
        found: Any = torch.autograd.grad(loss, self._trained, allow_unused=True)
        return loss.detach(), [torch.zeros(()) if g is None else g for g in found]

    def holds(self) -> bool:
        """Whether the loss and the gradients are still those of the model's own forward."""
        (loss, gradients), (wanted, reference) = self.run(), self._reference
        if not (loss - wanted).abs() <= LOSS_TOLERANCE * wanted.abs():
            return False
        largest = max(float(one.abs().max()) for one in reference)
        pairs = zip(gradients, reference, strict=True)
        difference = max(float((one - other).abs().max()) for one, other in pairs)
        return difference <= GRADIENT_TOLERANCE * largest

    def holds_with(self, installed: Any) -> bool:
        """The same within a context that `installed` makes; False where the model fails in it."""
        try:
            with installed():
                return self.holds()
        except _FAILURES:
            return False
