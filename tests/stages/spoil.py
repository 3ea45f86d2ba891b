"""Ways to spoil a project, each made ready by a call and done by another, in its top folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ruamel.yaml import YAML

from adarank.pipeline.files.tables import read_parquet, write_parquet
from adarank.pipeline.files.whole import write_json

Spoil = Callable[[], object]
PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: What is bad, in a few words; unique.
        command: What is run: a stage's name, or adarank, and its arguments.
        spoil: Makes the input bad.
        words: What the message must contain, between bars.
        usage: Whether the command line itself is bad, which typer tells in its own form.
    """

    name: str
    command: str
    spoil: Spoil
    words: str
    usage: bool = False


def nothing() -> None:
    """Leave the project as it is: the command line is what is bad."""


def param(key: str, value: Any) -> Spoil:
    """Set a key of params.yaml, `finetune.steps`; one that is not there is added."""

    def spoil() -> None:
        def put(values: Any) -> None:
            *above, last = key.split(".")
            for name in above:
                values = values.setdefault(name, {})
            values[last] = value

        _edit_params(put)

    return spoil


def no_param(key: str) -> Spoil:
    """Take a key out of params.yaml."""

    def spoil() -> None:
        def take(values: Any) -> None:
            *above, last = key.split(".")
            for name in above:
                values = values[name]
            del values[last]

        _edit_params(take)

    return spoil


def write(path: str, content: str | bytes) -> Spoil:
    """Write a file, whatever was there."""
    data = content.encode() if isinstance(content, str) else content

    def spoil() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)

    return spoil


def append(path: str, content: str | bytes) -> Spoil:
    """Add to the end of a file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda: Path(path).write_bytes(Path(path).read_bytes() + data)


def cut(path: str, keep: float = 0.6) -> Spoil:
    """Keep a file's first part alone, as a copy that was broken off would."""

    def spoil() -> None:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: int(len(data) * keep)])

    return spoil


def gone(path: str) -> Spoil:
    """Remove a file or a folder."""
    return lambda: shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


def folder(path: str) -> Spoil:
    """Put a folder where a file should be."""
    return both(gone(path), lambda: Path(path).mkdir())


def file_there(path: str) -> Spoil:
    """Put a file where a folder should be."""
    return both(gone(path), lambda: Path(path).write_text("a file\n"))


def entry(path: str, keys: str, value: Any) -> Spoil:
    """Set an entry of a JSON file: `modules.0.rank`."""

    def spoil() -> None:
        whole = inner = json.loads(Path(path).read_text(encoding="utf-8"))
        *above, last = [int(key) if key.isdigit() else key for key in keys.split(".")]
        for key in above:
            inner = inner[key]
        inner[last] = value
        Path(path).write_text(json.dumps(whole))

    return spoil


def no_entry(path: str, key: str) -> Spoil:
    """Take an entry out of a JSON object's top."""

    def spoil() -> None:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        del value[key]
        write_json(Path(path), value)

    return spoil


def table(path: str, change: Callable[[pd.DataFrame], pd.DataFrame], **about: Any) -> Spoil:
    """Change a parquet file's table, and entries of the note in its footer."""

    def spoil() -> None:
        frame, note = read_parquet(Path(path))
        write_parquet(Path(path), change(frame.copy()), note | about)

    return spoil


def column(path: str, name: str, value: Any, row: int | None = None) -> Spoil:
    """Set a parquet file's column, or the entry of one row in it."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        if row is None:
            frame[name] = value
        else:
            frame[name] = [value if at == row else old for at, old in enumerate(frame[name])]
        return frame

    return table(path, change)


def both(*spoils: Spoil) -> Spoil:
    """Do several."""

    def spoil() -> None:
        for one in spoils:
            one()

    return spoil


def _edit_params(edit: Callable[[Any], None]) -> None:
    yaml = YAML(typ="safe", pure=True)
    values = yaml.load(PARAMS)
    edit(values)
    yaml.dump(values, PARAMS)


def train(name: str, content: str | bytes) -> Spoil:
    """Let train be another file, of this content."""
    return both(write(f"source/{name}", content), param("tasks.questions.splits.train", name))


def train_frame(name: str, make: Callable[[Path], Any]) -> Spoil:
    """Let train be another file, which `make` writes."""
    return both(lambda: make(Path("source") / name), param("tasks.questions.splits.train", name))


def parquet(**columns: Any) -> Spoil:
    """Let train be a parquet file of these columns."""
    return train_frame("t.parquet", lambda path: pd.DataFrame(columns).to_parquet(path))


def pickled(value: Any) -> Spoil:
    """Let the model's weights be pickled ones of this value, with leave to convert them."""
    return both(
        gone("source/model/model.safetensors"),
        lambda: torch.save(value, "source/model/pytorch_model.bin"),
        param("model.convert_pickle", True),
    )
