"""A study's merge on disk: the smallest form that any user of PEFT or transformers can load.

Where a method keeps the members' factors, or a rank is given, that is one LoRA adapter. Else it is
the merged weights alone, by their names in the base model's class. Heads stay per task, in
heads/TASK.safetensors.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from adarank.errors import input_error
from adarank.factors.svd import Update
from adarank.merging.loaded import add_to
from adarank.merging.task_vectors import Member, Vector, dense
from adarank.models.stacks import base_model
from adarank.models.tensors import write_tensors
from adarank.pipeline.adapters.reading import CONFIG, read_adapter
from adarank.pipeline.merging.base import Base
from adarank.pipeline.merging.reading import AdapterVectors
from adarank.pipeline.merging.writing import Written, write_heads, write_lora
from adarank.tuning.saving import read_tensors

WEIGHTS = "weights.safetensors"


def write_result(
    folder: Path,
    base: Base,
    vectors: Mapping[str, Vector],
    members: Sequence[Member],
    rank: float | None,
) -> Written | None:
    """Write a merge.

    Args:
        folder: Is filled, and made where it is not there.
        base: The base model.
        vectors: By weight: what to add to the base.
        members: Whose heads are written.
        rank: Average rank of the adapter; None for all that the method keeps.

    Returns:
        What the adapter holds; None where the merged weights were written.

    Raises:
        InputError: A rank above what the merge holds.
    """
    factored = all(isinstance(vector, Update) for vector in vectors.values())
    something = any(isinstance(v, Update) and v.rank for v in vectors.values())
    folder.mkdir(parents=True, exist_ok=True)
    if rank is not None or (factored and something):
        return write_lora(folder, base, vectors, members, rank, "merge.rank")
    weights: dict[str, Tensor] = {}
    for name in vectors:
        weight = base.files[base.keys[name]]
        weights[name] = (weight.double() + dense(vectors[name]).double()).to(weight.dtype)
    write_tensors(folder / WEIGHTS, weights)
    write_heads(folder, members)
    return None


def read_head(folder: Path, task: str) -> dict[str, Tensor]:
    """Read a task's head, by its names in the headed model; empty where the task has none."""
    path = folder / "heads" / f"{task}.safetensors"
    return read_tensors(path) if path.exists() else {}


@torch.no_grad()
def put_on(model: nn.Module, folder: Path, base: Base) -> None:
    """Give a model, with a head or without, the merged weights, in place.

    Raises:
        InputError: A file that is absent, damaged, or of another model.
    """
    if (folder / CONFIG).is_file():
        add_to(model, AdapterVectors(read_adapter(folder), base))
        return
    own = dict(base_model(model)[1].named_parameters())
    for name, weight in read_tensors(folder / WEIGHTS).items():
        if name not in own or own[name].shape != weight.shape:
            raise input_error(
                "a merge of another model",
                where=f"{folder / WEIGHTS}: {name}",
                got=f"{tuple(weight.shape)}",
                expected="a weight of data/model",
                remedy="delete the folder and run `dvc repro`, which merges again",
            )
        own[name].copy_(weight)
