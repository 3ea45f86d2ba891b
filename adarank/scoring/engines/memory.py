"""How much fits in memory: draws in one pass, modules in one turn."""

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from adarank.errors import input_error
from adarank.models.modules import Module
from adarank.models.stacks import find_stacks
from adarank.scoring.outputs import Batch, Output, compared_output

GIB = 2**30
# Rows (texts x tokens) beyond which a pass only grows, not speeds up: on a CPU larger
# activations fall out of the cache, a GPU wants to be filled.
_ROWS_PER_PASS = {"cpu": 1024, "cuda": 65536}


def draws_per_pass(
    model: nn.Module, batches: Sequence[Batch], output: Output, memory_gb: float | None
) -> int:
    """Choose how many draws of a module go through the model together.

    Args:
        model: On the device it will be scored on.
        batches: The probe; the largest batch decides.
        output: The compared output.
        memory_gb: Bound in GiB on what a pass holds; None: half of what is free.

    Raises:
        InputError: One draw needs more than the bound.
    """
    batch = max(batches, key=lambda part: next(iter(part.values())).numel())
    device = next(model.parameters()).device
    bound = memory_bound(device, memory_gb)
    needed = bytes_per_draw(model, batch, output)
    if needed > bound:
        raise input_error(
            "the memory bound is too small for one draw",
            where="score.memory_gb",
            got=f"{bound / GIB:.3f} GiB",
            expected=f"at least {needed / GIB:.3f} GiB for a batch of {_rows(batch)} tokens",
            remedy="raise score.memory_gb, or lower score.batch_size or probe.max_length",
        )
    wanted = max(1, _ROWS_PER_PASS.get(device.type, 1024) // _rows(batch))
    return min(wanted, int(bound // needed))


def memory_bound(device: torch.device, memory_gb: float | None) -> float:
    """Return a bound in bytes: `memory_gb` GiB, or half of what is free on the device now."""
    return memory_gb * GIB if memory_gb is not None else _free(device) / 2


def in_turns(
    modules: Sequence[Module], needed: Callable[[Module], float], bound: float
) -> list[list[Module]]:
    """Cut modules, in order, into parts that each hold at most `bound` bytes, or one module.

    Args:
        modules: What takes turns.
        needed: Bytes that one holds.
        bound: In bytes.
    """
    turns: list[list[Module]] = []
    held = 0.0
    for module in modules:
        if not turns or held + needed(module) > bound:
            turns.append([])
            held = 0.0
        turns[-1].append(module)
        held += needed(module)
    return turns


def release_freed() -> None:
    """Give memory that was freed back to the system, where the C library is glibc.

    glibc keeps freed blocks of up to 32 MiB in its heap. Small results that outlive a turn lie
    between them, so that a later turn's larger blocks fit into no hole and the heap grows.
    """
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@torch.no_grad()
def bytes_per_draw(model: nn.Module, batch: Batch, output: Output) -> int:
    """Estimate what one draw holds: a block's activations twice, its weights, its output."""
    made: list[int] = []

    def count(_module: nn.Module, _args: object, result: object) -> None:
        made.append(result.nbytes if isinstance(result, Tensor) else 0)

    leaves = [part for part in model.modules() if not list(part.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        compared = compared_output(model, batch, output)
    finally:
        for handle in handles:
            handle.remove()
    blocks = sum(len(stack.blocks) for stack in find_stacks(model))
    weights = max(p.nbytes for p in model.parameters() if p.dim() == 2)
    return 2 * sum(made) // blocks + 2 * weights + 4 * compared.nbytes


def _rows(batch: Batch) -> int:
    first = next(iter(batch.values()))
    return first.shape[0] * first.shape[1]


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
