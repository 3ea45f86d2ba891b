"""What must hold of a fetched model folder before it takes its place."""

import difflib
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

from adarank.errors import InputError, Problem, input_error, run_error
from stages.files import Record, read_json, read_record, sha256
from stages.sources.kept import INDEX

_WHOLE = {"expected": "safetensors, whole", "remedy": "fetch or copy the file anew"}


class WeightIndex(Record):
    """Which file each tensor of sharded weights is in."""

    weight_map: dict[str, str]


def check_room(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot fit; RunError with the numbers."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise run_error(
            "the disk has not enough room",
            where=str(folder),
            got=f"{free / 2**20:.0f} MiB free",
            expected=f"{needed / 2**20:.0f} MiB",
            remedy="free some space and run the same command again",
        )


def hashes(folder: Path) -> dict[str, str]:
    """Hash each file at the top of a folder, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def check_pins(pins: dict[str, str], found: dict[str, str], where: str) -> None:
    """Compare pinned sha256 digests with those found.

    Raises:
        InputError: Every digest that differs and every pinned name that is not there.
    """
    problems = [
        Problem(
            "the file's bytes are not the pinned ones" if name in found else "no such file",
            f"{where}.{name}",
            found.get(name, pin),
            pin if name in found else f"one of {', '.join(found)}",
            "look into why it changed before changing the pin"
            if name in found
            else "remove the pin or mend its name",
        )
        for name, pin in sorted(pins.items())
        if found.get(name) != pin.lower()
    ]
    if problems:
        raise InputError(*problems)


def check_model_type(folder: Path) -> None:
    """Check that transformers knows the config's model type, without running any model.

    Raises:
        InputError: config.json damaged, or its model_type absent or unknown.
    """
    config = read_json(folder / "config.json")
    found: Any = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(found, str) and found in CONFIG_MAPPING_NAMES:
        return
    near = difflib.get_close_matches(str(found), CONFIG_MAPPING_NAMES, n=3)
    raise input_error(
        "unknown model type" if found else "the config names no model type",
        where="config.json: model_type",
        got="none" if found is None else found,
        expected=f"one that transformers knows: {', '.join(near) or 'bert, llama, t5 ...'}",
        remedy="a checkpoint whose code is in transformers; code beside weights is never run",
    )


def settle_weights(folder: Path) -> None:
    """Check every safetensors file's header and length; drop shards that the index omits.

    Raises:
        InputError: A damaged file, or a shard that the index names and the source lacks.
    """
    present = {path.name for path in folder.glob("*.safetensors")}
    wanted = _indexed(folder) or present
    if wanted - present:
        raise input_error(
            "shards are missing",
            where=INDEX,
            got=", ".join(sorted(wanted - present)),
            expected="every file that its weight_map names",
            remedy="a complete copy of the model",
        )
    for name in present - wanted:
        (folder / name).unlink()
    for name in sorted(wanted):
        _check_whole(folder / name)


def _indexed(folder: Path) -> set[str]:
    index = folder / INDEX
    return set(read_record(index, WeightIndex)["weight_map"].values()) if index.exists() else set()


def _check_whole(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as tensors:
            empty = not tensors.keys()
    except SafetensorError as error:
        raise input_error(
            "the weights are damaged", where=path.name, got=str(error), **_WHOLE
        ) from None
    if empty:
        raise input_error("the weights are empty", where=path.name, got="no tensor", **_WHOLE)
