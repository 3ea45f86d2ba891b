"""What a merge gives: the whole model, written shard by shard, or one LoRA of an exact budget."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adarank.errors import input_error
from adarank.factors.svd import Components, Svd, Update, decompose
from adarank.factors.truncation import Choice, ranks_within, truncate
from adarank.merging.task_vectors import Member, Vector, dense
from adarank.models.tensors import write_tensors
from adarank.pipeline.adapters.config import written
from adarank.pipeline.adapters.reading import PREFIX
from adarank.pipeline.adapters.writing import fill_adapter
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.merging.base import Base
from adarank.pipeline.merging.tensors import INDEX, SINGLE

_SHARD_BYTES = 4 * 10**9
_SEEN = 1e-7  # singular values below this share of the largest are rounding
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.msgpack", "*.h5", "*.onnx")


@dataclass(frozen=True)
class Written:
    """What the written adapter holds.

    Attributes:
        parameters: Entries of all its factors.
        ranks: By weight: its rank; 0 where the budget did not reach it.
        error: Share of the merged update's Frobenius norm that the truncation leaves out.
        left_out: Weights that an adapter cannot hold: biases and norms of whole members.
    """

    parameters: int
    ranks: Mapping[str, int]
    error: float
    left_out: tuple[str, ...]


def write_full(
    folder: Path,
    base: Base,
    vectors: Mapping[str, Vector],
    members: Sequence[Member],
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Write the merged model: the base's files with the merged weights in their place.

    One shard is in memory at a time. The dtype of every tensor is the base's.

    Args:
        folder: Is filled, and made where it is not there; `running.run` makes it appear whole.
        base: The base model.
        vectors: By weight: what to add to the base; may be lazy.
        members: Whose heads are written as heads/TASK.safetensors.
        shard_bytes: Size of a shard at most, single tensors apart.
    """
    shutil.copytree(
        base.folder, folder, ignore=shutil.ignore_patterns(*_WEIGHTS), dirs_exist_ok=True
    )
    shards = _shards(base, shard_bytes)
    names = {base.keys[name]: name for name in vectors}
    for number, keys in enumerate(shards):
        tensors = {key: base.files[key] for key in keys}
        for key in names.keys() & tensors.keys():
            merged = tensors[key].double() + dense(vectors[names[key]]).double()
            tensors[key] = merged.to(tensors[key].dtype)
        write_tensors(folder / _shard_name(number, len(shards)), tensors)
    if len(shards) > 1:
        files = {k: _shard_name(n, len(shards)) for n, keys in enumerate(shards) for k in keys}
        write_json(folder / INDEX, {"metadata": {}, "weight_map": files})
    write_heads(folder, members)


def write_lora(
    folder: Path,
    base: Base,
    vectors: Mapping[str, Vector],
    members: Sequence[Member],
    budget: float | None,
    asked_by: str = "--budget",
) -> Written:
    """Write the merged update as one LoRA adapter that costs exactly the budget, or as it is.

    The components of all weights compete, each by its squared singular value per parameter
    (`adarank.factors.truncation.ranks_within`). Module names are as the members' adapters have
    them, so that it loads where they do.

    Args:
        folder: Is filled, and made where it is not there; `running.run` makes it appear whole.
        base: The base model.
        vectors: By weight: what to add to the base.
        members: Whose heads are written as heads/TASK.safetensors.
        budget: Average rank: what this uniform rank would cost on the merged matrices. None
            keeps every component that float32 distinguishes from zero.
        asked_by: The option or key that gives the budget, for messages.

    Raises:
        InputError: A budget above what the merged update holds, or below one rank.
    """
    matrices = {n: v for n, v in vectors.items() if isinstance(v, Update) or v.ndim == 2}
    parts = {name: _components(v) for name, v in matrices.items()}
    costs = {name: len(part.u) + part.rows.shape[1] for name, part in parts.items()}
    energies = {name: part.energies.tolist() for name, part in parts.items()}
    if budget is None:
        choice = _all_ranks(energies, costs)
    else:
        choice = ranks_within(energies, costs, _affordable(energies, costs, budget, asked_by))
    prefix = f"{base.prefix}." if _prefixed(base, members) else ""
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name, rank in choice.ranks.items():
        if not rank:
            continue
        module, kept = name.removesuffix(".weight"), truncate(parts[name], rank)
        if module in base.transposed:
            kept = Update(kept.b.T, kept.a.T)
        full = f"{prefix}{module}"
        ranks[full] = rank
        tensors[f"{PREFIX}{full}.lora_A.weight"] = kept.a.float()
        tensors[f"{PREFIX}{full}.lora_B.weight"] = kept.b.float()
    dropped = [f"{prefix}{n.removesuffix('.weight')}" for n, r in choice.ranks.items() if not r]
    config = _config(base, {name: name.removeprefix(prefix) in base.transposed for name in ranks})
    fill_adapter(folder, written(config, ranks, dict.fromkeys(ranks, 1.0), dropped), tensors)
    write_heads(folder, members)
    whole = sum(sum(one) for one in energies.values())
    lost = sum(sum(energies[name][rank:]) for name, rank in choice.ranks.items())
    error = (lost / whole) ** 0.5 if whole else 0.0
    left_out = tuple(sorted(vectors.keys() - matrices.keys()))
    return Written(choice.parameters, choice.ranks, error, left_out)


def write_heads(folder: Path, members: Sequence[Member]) -> None:
    """Write every member's head as heads/TASK.safetensors, by its names in the headed model."""
    for member in members:
        if member.head:
            (folder / "heads").mkdir(exist_ok=True)
            write_tensors(folder / "heads" / f"{member.task}.safetensors", dict(member.head))


def _components(vector: Vector) -> Components:
    if isinstance(vector, Update):
        return decompose(vector).components
    u, sigma, vh = torch.linalg.svd(vector.double(), full_matrices=False)
    return Svd(u, sigma, vh).components


def _all_ranks(energies: Mapping[str, Sequence[float]], costs: Mapping[str, int]) -> Choice:
    ranks = {
        name: sum(energy > _SEEN**2 * one[0] for energy in one) for name, one in energies.items()
    }
    return Choice(ranks, sum(rank * costs[name] for name, rank in ranks.items()))


def _affordable(
    energies: Mapping[str, Sequence[float]],
    costs: Mapping[str, int],
    budget: float,
    asked_by: str,
) -> int:
    per_rank, least = sum(costs.values()), min(costs.values())
    own = sum(len(energies[name]) * costs[name] for name in costs)
    wanted = int(budget * per_rank + 1e-6)
    if not least <= wanted <= own:
        raise input_error(
            "the merged update does not have that size",
            where=asked_by,
            got=budget,
            expected=f"an average rank of {least / per_rank:.3g} to {own / per_rank:g}, "
            "the sum of the members' ranks",
            remedy="a budget in that range, or --full" if asked_by == "--budget" else "null",
        )
    return wanted


def _prefixed(base: Base, members: Sequence[Member]) -> bool:
    """Whether the members are headed models, whose modules bear the base's name in front."""
    return bool(base.prefix) and any(member.head for member in members)


def _config(base: Base, transposed: Mapping[str, bool]) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": str(base.folder),
        "bias": "none",
        "lora_dropout": 0.0,
        "fan_in_fan_out": all(transposed.values()) and bool(transposed),
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def _shards(base: Base, shard_bytes: int) -> list[list[str]]:
    """Keys in sorted order, in groups of at most so many bytes."""
    shards: list[list[str]] = [[]]
    size = 0
    for key in sorted(base.files):
        bytes_ = 4
        for side in base.files.shape(key):
            bytes_ *= side
        if shards[-1] and size + bytes_ > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(key)
        size += bytes_
    return shards


def _shard_name(number: int, count: int) -> str:
    return SINGLE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"
