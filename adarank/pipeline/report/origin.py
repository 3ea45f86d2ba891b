"""What made the results: parameters, package versions, hashes of artifacts, rows of the dataset."""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from adarank.pipeline.artifacts.places import MODEL, MODEL_SOURCE, SCORES, SOURCES
from adarank.pipeline.artifacts.task import DESCRIPTION, task_folder
from adarank.pipeline.files.whole import read_json, sha256
from adarank.pipeline.report.chart import Table
from adarank.pipeline.report.numbers import NONE
from adarank.pipeline.report.rank_map import Plans, plan_path

_PACKAGES = (
    "adarank accelerate datasets dvc numpy pandas peft plotly safetensors scikit-learn scipy "
    "tokenizers torch transformers"
).split()
_SPLITS = ("train", "validation", "test")


def origin(
    task: str, sections: Mapping[str, Any], places: Mapping[str, str], plans: Plans
) -> dict[str, Table]:
    """Describe what made a task's results, a table by its heading.

    Args:
        task: The task.
        sections: params.yaml's sections as the study has them.
        places: By signal, the task it was scored for, or `model`.
        plans: The task's plans.
    """
    return {
        "Model": Table(("", ""), tuple(_model(plans))),
        "Dataset": Table(("split", "rows", "dropped", "sha256"), tuple(_dataset(task))),
        "Artifacts": Table(("file", "sha256"), tuple(_artifacts(task, places, plans))),
        "Parameters": Table(("key", "value"), tuple(_leaves(sections))),
        "Versions": Table(("package", "version"), tuple(_versions())),
    }


def source_of(part: str) -> str:
    """Describe where `model` or `tasks/NAME` came from: its source and revision."""
    record = read_json(SOURCES / f"{part}.json")
    revision = record["revision"]
    return record["source"] + (f", revision {revision}" if revision else "")


def _model(plans: Plans) -> Iterator[tuple[str, str]]:
    yield "source", source_of("model")
    config = read_json(MODEL / "config.json")
    yield "architecture", str(config.get("model_type", NONE))
    hashes = dict.fromkeys(plan.model_sha256 for plan in plans.values())
    yield from (("sha256 of the folder, as planned for", one) for one in hashes if one)
    record = read_json(MODEL_SOURCE)
    yield from ((f"sha256 of {name}", one) for name, one in sorted(record["sha256"].items()))


def _dataset(task: str) -> Iterator[tuple[str, ...]]:
    note = read_json(task_folder(task) / DESCRIPTION)
    for split in _SPLITS:
        dropped = note["dropped"].get(split, {})
        reasons = ", ".join(f"{n} with {why}" for why, n in sorted(dropped.items())) or "none"
        rows = note["rows"].get(split)
        digest = note["sha256"].get(f"{split}.parquet", NONE)
        yield split, NONE if rows is None else f"{rows:,}", reasons, digest


def _artifacts(task: str, places: Mapping[str, str], plans: Plans) -> Iterator[tuple[str, str]]:
    scores = [SCORES / place / f"{signal}.parquet" for signal, place in places.items()]
    for path in [*scores, *(plan_path(task, cell) for cell in plans)]:
        if path.exists():
            yield path.as_posix(), sha256(path)


def _leaves(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{above}.{key}" if above else str(key))
    elif isinstance(value, list):
        yield above, ", ".join(map(_spelt, value)) or "none"
    else:
        yield above, _spelt(value)


def _spelt(value: Any) -> str:
    """Spell a value as YAML does."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return "{}" if value == {} else str(value)


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
