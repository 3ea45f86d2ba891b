"""A dataset from its source, whichever it is."""

import pandas as pd

from adarank.errors import input_error
from adarank.pipeline.builtin.questions import questions
from adarank.pipeline.console.reporting import say
from adarank.pipeline.datasets.files import Form, read_files
from adarank.pipeline.datasets.hub import read_repository
from adarank.pipeline.datasets.raw import Columns, Raw, check_columns, frame_of
from adarank.pipeline.sources.spec import DATASET_FORMS, FileSource, HubSource, parse_source


def read_dataset(
    text: str, splits: dict[str, str], wanted: Columns, form: Form, recorded: str | None = None
) -> Raw:
    """Read the splits that are named.

    Args:
        text: The source, as params.yaml says it.
        splits: What the source calls train, and validation and test where it has them.
        wanted: The columns to keep.
        form: How text files of a `file:` source are written.
        recorded: The commit that an `hf:` source stood for when it was fetched first.

    Raises:
        InputError: A source, split, file or column that is not there.
        RunError: The hub could not be reached.
    """
    source = parse_source(text, DATASET_FORMS, "dataset.source")
    say(f"download: {', '.join(splits)} of {text}")
    if isinstance(source, HubSource):
        return read_repository(source, splits, wanted, recorded)
    if isinstance(source, FileSource):
        return read_files(source.path, splits, wanted, form)
    return read_frames(questions(), splits, wanted)


def read_frames(frames: dict[str, pd.DataFrame], splits: dict[str, str], wanted: Columns) -> Raw:
    """Take the splits from tables in memory.

    Raises:
        InputError: A split or column that is not there.
    """
    for split, name in splits.items():
        if name not in frames:
            raise input_error(
                "no such split",
                where=f"dataset.splits.{split}",
                got=name,
                expected=f"one of {', '.join(frames)}",
            )
        check_columns(frames[name].columns, wanted, f"split {name}")
    return Raw({split: frame_of(dict(frames[name]), wanted) for split, name in splits.items()})
