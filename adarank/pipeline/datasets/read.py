"""A dataset from its source, whichever it is."""

import pandas as pd

from adarank.errors import input_error
from adarank.pipeline.builtin.questions import questions
from adarank.pipeline.console.reporting import say
from adarank.pipeline.datasets.hub import read_repository
from adarank.pipeline.datasets.keys import key
from adarank.pipeline.datasets.raw import Columns, Raw, check_columns, frame_of
from adarank.pipeline.datasets.reading.files import read_files
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.datasets.reading.together import Files
from adarank.pipeline.sources.spec import DATASET_FORMS, FileSource, HubSource, parse_source


def read_dataset(
    text: str, splits: dict[str, Files], wanted: Columns, form: Form, recorded: str | None = None
) -> Raw:
    """Read the splits that are named.

    Args:
        text: The source, as params.yaml says it.
        splits: What the source calls train, and validation and test where it has them; of a
            `file:` source also several files each.
        wanted: The columns to keep.
        form: How the files of a `file:` source are written.
        recorded: The commit that an `hf:` source stood for when it was fetched first.

    Raises:
        InputError: A source, split, file or column that is not there.
        RunError: The hub could not be reached.
    """
    source = parse_source(text, DATASET_FORMS, key("source"))
    say(f"download: {', '.join(splits)} of {text}")
    if isinstance(source, FileSource):
        return read_files(source.path, splits, wanted, form)
    names = {split: name for split, name in splits.items() if isinstance(name, str)}
    if isinstance(source, HubSource):
        return read_repository(source, names, wanted, recorded)
    return read_frames(questions(), names, wanted)


def read_frames(frames: dict[str, pd.DataFrame], splits: dict[str, str], wanted: Columns) -> Raw:
    """Return the splits of tables in memory.

    Raises:
        InputError: A split or column that is not there.
    """
    for split, name in splits.items():
        if name not in frames:
            raise input_error(
                "no such split",
                where=key(f"splits.{split}"),
                got=name,
                expected=f"one of {', '.join(frames)}",
            )
        check_columns(frames[name].columns, wanted, f"split {name}")
    found = {split: (dict(frames[name]), f"split {name}") for split, name in splits.items()}
    return Raw({split: frame_of(table, wanted, where) for split, (table, where) in found.items()})
