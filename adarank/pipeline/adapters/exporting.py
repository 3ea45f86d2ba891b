"""An adapter in a form that programs without rank_pattern and alpha_pattern read right."""

import re
from pathlib import Path

import torch
from torch import Tensor

from adarank.errors import InputError, Problem, input_error
from adarank.factors.padding import pad
from adarank.factors.svd import Update
from adarank.pipeline.adapters.config import written
from adarank.pipeline.adapters.reading import Adapter, Part, refuse_non_finite
from adarank.pipeline.adapters.writing import write_adapter


def export_padded(
    adapter: Adapter, folder: Path, *, per_kind: bool = False, rank: int | None = None
) -> dict[str, int]:
    """Write an adapter with every module at the largest rank: zero rows of A, zero columns of B.

    The scales are multiplied into B. lora_alpha equals r, so the scale is 1 by r and lora_alpha
    alone, and there are no patterns.

    Args:
        adapter: The adapter; embeddings and convolutions are padded like linear layers.
        folder: Where to write.
        per_kind: Pad modules that differ by their block's number alone to one rank, instead of
            all. Ranks then differ between kinds (rank_pattern), and lora_alpha over each module's
            own rank is the scale, without alpha_pattern.
        rank: Pad to this rank, at least the largest; with per_kind it has no effect.

    Returns:
        The new rank of every module.

    Raises:
        InputError: Factors that are not finite, a rank below the largest, or a convolution whose
            B is no 1 x 1.
    """
    refuse_non_finite(adapter)
    ranks = _per_kind(adapter.parts) if per_kind else _one_rank(adapter.parts, rank)
    highest = max(ranks.values())
    tensors = adapter.tensors(adapter.others)
    for part in adapter.parts:
        # alpha is the highest rank, so PEFT will scale by highest / rank: 1 unless per_kind.
        tensors |= _padded(adapter, part, ranks[part.name], highest / ranks[part.name])
    scales = {name: highest / one for name, one in ranks.items()}
    config = written(adapter.config, ranks, scales, [])
    config |= {"lora_alpha": highest, "alpha_pattern": {}}
    write_adapter(folder, config, tensors)
    return ranks


def _one_rank(parts: tuple[Part, ...], rank: int | None) -> dict[str, int]:
    highest = max(part.rank for part in parts)
    if rank is not None and rank < highest:
        raise input_error(
            "padding cannot lower a rank",
            where="--rank",
            got=rank,
            expected=f"at least {highest}, the largest of this adapter",
            remedy=f"`adarank resize --max-rank {rank}` lowers ranks",
        )
    return dict.fromkeys((part.name for part in parts), rank or highest)


def _per_kind(parts: tuple[Part, ...]) -> dict[str, int]:
    kinds = {part.name: re.sub(r"\.\d+(?=\.)", ".*", f".{part.name}") for part in parts}
    highest: dict[str, int] = {}
    for part in parts:
        highest[kinds[part.name]] = max(part.rank, highest.get(kinds[part.name], 0))
    return {part.name: highest[kinds[part.name]] for part in parts}


def _padded(adapter: Adapter, part: Part, rank: int, scale: float) -> dict[str, Tensor]:
    found = adapter.tensors([part.a, part.b])
    a, b = found[part.a], found[part.b]
    if b.numel() != b.shape[0] * b.shape[1]:
        what = "a convolution whose B is no 1 x 1 cannot be padded"
        raise InputError(Problem(what, part.name, str(tuple(b.shape)), "shape (d_out, r, 1, 1)"))
    flat = Update(
        a.flatten(1).to(torch.float64), b.flatten(1).to(torch.float64), part.scale / scale
    )
    update = pad(flat, rank)
    return {
        part.a: update.a.reshape(rank, *a.shape[1:]).to(a.dtype),
        part.b: update.b.reshape(b.shape[0], rank, *b.shape[2:]).to(b.dtype),
    }
