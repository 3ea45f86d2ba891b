"""An adapter's folder, written: PEFT's two files, the same bytes for the same tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from adarank.errors import input_error
from adarank.models.tensors import write_tensors
from adarank.pipeline.adapters.reading import CONFIG, WEIGHTS
from adarank.pipeline.files.whole import whole_folder, write_json


def write_adapter(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write adapter_config.json and adapter_model.safetensors; the folder appears when whole."""
    with whole_folder(folder) as working:
        fill_adapter(working, config, tensors)


def fill_adapter(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the two files into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, dict(config))
    write_tensors(folder / WEIGHTS, dict(tensors))


def refuse_output(folder: Path) -> None:
    """Refuse a place that is taken, before the work and not after it."""
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken:
        raise input_error(
            "there is something at that place already",
            where="--output",
            got=str(folder),
            expected="a folder that is not there yet, or an empty one",
            remedy="name another place, or remove what is there",
        )
