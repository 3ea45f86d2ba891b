"""A dataset from its source, whichever it is."""

import pandas as pd

from adarank.errors import input_error
from stages.builtin.questions import questions
from stages.cli import say
from stages.sources.spec import DATASET_FORMS, FileSource, HubSource, parse_source
from stages.tables.files import Form, read_files
from stages.tables.hub import read_repository
from stages.tables.raw import Columns, Raw, check_columns, frame_of


def read_dataset(text: str, splits: dict[str, str | None], wanted: Columns, form: Form) -> Raw:
    """Read the splits that are named.

    Args:
        text: The source, as params.yaml says it.
        splits: What the source calls train, validation and test; None for none.
        wanted: The columns of text and target.
        form: How text files of a `file:` source are written.

    Raises:
        InputError: A source, split, file or column that is not there.
        RunError: The hub could not be reached.
    """
    source = parse_source(text, DATASET_FORMS, "dataset.source")
    named = _named(splits)
    if wanted.text == wanted.target:
        raise input_error(
            "text and target are one column",
            where="dataset.target_key",
            got=wanted.target,
            expected="the column of labels",
        )
    say(f"download: {', '.join(named)} of {text}")
    if isinstance(source, HubSource):
        return read_repository(source, named, wanted)
    if isinstance(source, FileSource):
        return read_files(source.path, named, wanted, form)
    return read_frames(questions(), named, wanted)


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


def _named(splits: dict[str, str | None]) -> dict[str, str]:
    named = {split: name for split, name in splits.items() if name is not None}
    if "test" not in named:
        raise input_error(
            "a test split is needed",
            where="dataset.splits.test",
            got="null",
            expected="a split, or file, that training never sees",
            remedy="name one; it is not carved from train, which a reader would not expect",
        )
    for split, name in named.items():
        twins = [other for other in named if named[other] == name and other != split]
        if twins:
            raise input_error(
                f"the same rows would be both {split} and {twins[0]}",
                where=f"dataset.splits.{split}",
                got=name,
                expected="a different split, or file, for each",
            )
    return named
