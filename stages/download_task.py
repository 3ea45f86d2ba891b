"""Fetch one task's data from its source, checked and in one form."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from adarank.pipeline.artifacts.places import TASK_SOURCES, TASKS_FOLDER
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.console.secrets import hide_in_logs
from adarank.pipeline.datasets.dividing.overlap import shared_in_words, shared_texts
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.normalised import Normalised, Rules
from adarank.pipeline.datasets.raw import Raw
from adarank.pipeline.datasets.read import read_dataset
from adarank.pipeline.datasets.rows.labels import labels
from adarank.pipeline.datasets.rows.noise import noise_in_words
from adarank.pipeline.datasets.rows.numbers import numbers
from adarank.pipeline.datasets.rows.texts import texts
from adarank.pipeline.datasets.rows.words import words
from adarank.pipeline.datasets.section import DatasetSection
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import whole_folder, write_json
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.tasks import TasksSection, task_named
from adarank.pipeline.sources.checks import check_pins, hashes
from adarank.pipeline.sources.commits import record, recorded
from adarank.tasks.catalogue import Rows

NORMALISERS: dict[Rows, Callable[[Raw, Rules], Normalised]] = {
    "labels": labels,
    "numbers": numbers,
    "texts": texts,
    "words": words,
}


class Params(Slice):
    """What the stage reads."""

    tasks: TasksSection


app = typer.Typer(add_completion=False)
Task = Annotated[str, typer.Option(help="The task's name, as in the section tasks.")]


@app.command(epilog=describe(Params))
def main(task: Task, params: ParamsFile = PARAMS_FILE) -> None:
    """Fetch a task's data to data/tasks/TASK."""
    hide_in_logs()
    with reporting(f"download_task-{task}"), task_named(task):
        run(task, load(Params, params).tasks.find(task))


def run(task: str, section: DatasetSection) -> None:
    """Write data/tasks/TASK, whole, data/sources/tasks/TASK.json, and for a branch its lock."""
    rules = section.rules()
    known = recorded(f"tasks/{task}", section.source)
    raw = read_dataset(section.source, section.named_splits(), rules.columns, section.form(), known)
    found = NORMALISERS[section.kind.rows](raw, rules)
    with whole_folder(TASKS_FOLDER / task) as folder:
        note = _write(folder, found, raw, section)
    _report(task, note)
    found_at = {"source": section.source, "revision": raw.revision, "sha256": raw.sha256}
    write_json(TASK_SOURCES / f"{task}.json", found_at)
    record(f"tasks/{task}", section.source, raw.revision)


def _write(folder: Path, found: Normalised, raw: Raw, section: DatasetSection) -> dict[str, Any]:
    for split, frame in found.frames.items():
        write_parquet(folder / f"{split}.parquet", frame)
    digests = hashes(folder)
    check_pins(section.sha256, digests | raw.sha256, key("sha256"))
    note = {
        "type": section.type,
        "source": section.source,
        "revision": raw.revision,
        "rows": {split: len(frame) for split, frame in found.frames.items()},
        "sha256": digests,
        "shared_texts": shared_texts(found.frames),
        "lines": raw.remarks,
        **found.note,
    }
    write_json(folder / "task.json", note)
    return note


def _report(task: str, note: dict[str, Any]) -> None:
    for split in ("train", "validation", "test"):
        dropped = note["dropped"].get(split, {})
        said = ", dropped " + ", ".join(f"{n} with {why}" for why, n in dropped.items())
        say(f"download: {task}: {note['rows'][split]} rows of {split}{said if dropped else ''}")
    for split, remarks in note["lines"].items():
        say(f"download: {task}, {split}: " + ", ".join(f"{n} {w}" for w, n in remarks.items()))
    for shared in [*noise_in_words(note), *shared_in_words(note["shared_texts"], note["rows"])]:
        say(f"download: {task}: {shared}")


if __name__ == "__main__":
    app()
