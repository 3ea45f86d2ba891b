"""Pickled weights to safetensors, with nothing but tensors ever unpickled."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from adarank.errors import InputError, input_error
from adarank.pipeline.sources.checks import shards_of
from adarank.pipeline.sources.kept import PICKLED, PICKLED_INDEX, SINGLE


def convert(folder: Path) -> None:
    """Replace a folder's pickled weights by one model.safetensors with the same names.

    Raises:
        InputError: A pickle that holds something else than named tensors.
    """
    index = folder / PICKLED_INDEX
    names = sorted(shards_of(index) if index.exists() else ()) or [PICKLED]
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        tensors |= _load(folder / name)
    save_file(_apart(tensors), folder / SINGLE, metadata={"format": "pt"})
    (folder / SINGLE).chmod(0o644)
    for path in [index, *folder.glob("pytorch_model*.bin")]:
        path.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, torch.Tensor]:
    if not path.exists():
        raise _not_weights(path, "named by its index, not there")
    try:
        # Only the zip format, since torch 1.6, can be mapped instead of read into memory.
        values = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise _not_weights(path, str(error).splitlines()[0]) from None
    if not isinstance(values, dict) or not all(torch.is_tensor(t) for t in values.values()):
        raise _not_weights(path, type(values).__name__)
    return values


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy shared tensors, a copy a name: safetensors holds no shared or strided tensors.

    Tied weights are written twice rather than dropped, so that no name goes missing
    whatever the loader ties.
    """
    seen: set[int] = set()
    apart: dict[str, torch.Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in seen else tensor.contiguous()
        seen.add(storage)
    return {name: tensor.contiguous() for name, tensor in apart.items()}


def _not_weights(path: Path, got: str) -> InputError:
    return input_error(
        "the pickle is not weights alone, and was not run",
        where=path.name,
        got=got,
        expected="named tensors, readable by torch.load(weights_only=True)",
        remedy="a source with safetensors",
    )
