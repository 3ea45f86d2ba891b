"""What must hold of a fetched model folder before it takes its place."""

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adarank.errors import InputError, Problem, input_error, run_error
from adarank.pipeline.files.whole import read_json, sha256
from adarank.pipeline.sources.kept import INDEX

_WHOLE = {"expected": "safetensors, whole", "remedy": "fetch or copy the file again"}


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
            else "remove the pin or correct its name",
        )
        for name, pin in sorted(pins.items())
        if found.get(name) != pin.lower()
    ]
    if problems:
        raise InputError(*problems)


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
    return shards_of(index) if index.exists() else set()


def shards_of(index: Path) -> set[str]:
    """Read which files an index of shards names.

    Raises:
        InputError: It has no such map, or a name leads out of the model's folder.
    """
    content = read_json(index)
    found: Any = content.get("weight_map") if isinstance(content, dict) else None
    names: list[Any] = list(found.values()) if isinstance(found, dict) else [None]
    wrong = [
        name
        for name in names
        if not isinstance(name, str) or Path(name).name != name or name == ".."
    ]
    if wrong:
        raise input_error(
            "not an index of shards beside it",
            where=index.name,
            got="no weight_map" if wrong[0] is None else f"{wrong[0]}",
            expected="weight_map, a file's name by tensor",
            remedy="choose another source",
        )
    return set(names)


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
