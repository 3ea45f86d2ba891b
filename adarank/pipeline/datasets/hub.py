"""`hf:` sources of datasets, through the `datasets` library."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, load_dataset
from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from adarank.errors import AdaRankError, run_error
from adarank.pipeline.console.reporting import say
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.raw import Columns, Raw, check_columns, frame_of
from adarank.pipeline.datasets.reading.nested import root_of
from adarank.pipeline.sources.commits import cached_commit, info_at
from adarank.pipeline.sources.promised import Promise, kept, promises
from adarank.pipeline.sources.refusals import from_hub
from adarank.pipeline.sources.retry import chain
from adarank.pipeline.sources.spec import HubSource


def read_repository(
    source: HubSource, splits: dict[str, str], wanted: Columns, recorded: str | None = None
) -> Raw:
    """Resolve the revision to a commit and read the splits at that commit.

    Args:
        source: The repository, configuration and revision.
        splits: What the source calls train, and validation and test where it has them.
        wanted: The columns to keep.
        recorded: The commit that the revision stood for when it was fetched first.

    Raises:
        InputError: No such repository, revision, configuration, split or column.
        RunError: The hub could not be reached, or sends other bytes than it promises.
    """
    commit, promised = _resolved(source, recorded)
    tables = from_hub(
        lambda: kept(
            lambda: {split: _load(source, commit, name) for split, name in splits.items()},
            source,
            "dataset",
            commit,
            promised,
            _forget,
        ),
        source,
        key("source"),
    )
    frames = {}
    for split, table in tables.items():
        where = f"{source.repository}, {splits[split]}"
        check_columns(table.column_names, wanted, where)
        frames[split] = frame_of(_columns(table, wanted), wanted, where)
    return Raw(frames, _classes(tables["train"], wanted.target), commit)


def _resolved(source: HubSource, recorded: str | None) -> tuple[str, dict[str, Promise]]:
    """The commit, and what the hub promises of its files; nothing where it is switched off."""
    try:
        info = from_hub(
            lambda: info_at(HfApi().dataset_info, "dataset", source, recorded),
            source,
            key("source"),
        )
    except AdaRankError as error:
        offline = any(isinstance(cause, OfflineModeIsEnabled) for cause in chain(error))
        commit = cached_commit(source, "dataset", recorded) if offline else None
        if commit is None:
            raise
        say(f"download: the hub is switched off; {source.repository} at {commit} from its cache")
        return commit, {}
    return info.sha, promises(info.siblings, key("source"))


def _load(source: HubSource, commit: str, split: str) -> Dataset:
    table = load_dataset(source.repository, source.config, revision=commit, split=split)
    assert isinstance(table, Dataset)
    # Where the hub does not answer, the library takes any commit that it has in its cache.
    folders = [Path(file["filename"]).parent for file in table.cache_files]
    if any(commit not in folder.parts for folder in folders):
        raise run_error(
            "only another commit of the dataset is at hand",
            where=key("source"),
            got=", ".join(sorted({folder.name for folder in folders})),
            expected=commit,
            remedy="look at the connection, then run again",
        )
    return table


def _forget(tables: Mapping[str, Dataset]) -> None:
    # Or the library would take them, made of wrong bytes, for the repository's the next time.
    for table in tables.values():
        for file in table.cache_files:
            shutil.rmtree(Path(file["filename"]).parent, ignore_errors=True)


def _classes(table: Dataset, name: str | None) -> tuple[str, ...] | None:
    feature = table.features.get(name)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def _columns(table: Dataset, wanted: Columns) -> dict[str, Any]:
    roots = dict.fromkeys(root_of(name, table.column_names) or name for name in wanted.names)
    columns: dict[str, Any] = table.select_columns(list(roots))[:]
    for name in roots:
        classes = _classes(table, name)
        if classes is not None:
            # Splits without published labels hold -1.
            known = dict(enumerate(classes))
            columns[name] = [known.get(value) for value in columns[name]]
    return columns
