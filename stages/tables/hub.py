"""`hf:` sources of datasets, through the `datasets` library."""

from typing import Any

from datasets import ClassLabel, Dataset, load_dataset
from huggingface_hub import HfApi

from stages.sources.hub import from_hub
from stages.sources.spec import HubSource
from stages.tables.raw import Columns, Raw, check_columns, frame_of


def read_repository(source: HubSource, splits: dict[str, str], wanted: Columns) -> Raw:
    """Resolve the revision to a commit and read the splits at that commit.

    Raises:
        InputError: No such repository, revision, configuration, split or column.
        RunError: The hub could not be reached.
    """
    where = "dataset.source"
    info = from_hub(
        lambda: HfApi().dataset_info(source.repository, revision=source.revision), source, where
    )
    tables = {
        split: from_hub(lambda name=name: _load(source, info.sha, name), source, where)
        for split, name in splits.items()
    }
    for split, table in tables.items():
        check_columns(table.column_names, wanted, f"{source.repository}, {splits[split]}")
    frames = {split: frame_of(_columns(table, wanted), wanted) for split, table in tables.items()}
    return Raw(frames, _classes(tables["train"], wanted.target), info.sha)


def _load(source: HubSource, commit: str | None, split: str) -> Dataset:
    table = load_dataset(source.repository, source.config, revision=commit, split=split)
    assert isinstance(table, Dataset)
    return table


def _classes(table: Dataset, name: str | None) -> tuple[str, ...] | None:
    feature = table.features.get(name)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def _columns(table: Dataset, wanted: Columns) -> dict[str, Any]:
    columns: dict[str, Any] = table.select_columns(wanted.names)[:]
    for name in wanted.names:
        classes = _classes(table, name)
        if classes is not None:
            # Splits without published labels hold -1.
            known = dict(enumerate(classes))
            columns[name] = [known.get(value) for value in columns[name]]
    return columns
