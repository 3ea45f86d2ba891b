"""The options of `ranks` that begin an adapter on a task's rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adarank.allocation.starts import SIGNALS, StartName
from adarank.errors import InputError, Problem

if TYPE_CHECKING:
    from adarank.commands.settings import Beginning

StartOption = Annotated[
    StartName | None,
    typer.Option(
        help="Write an untrained adapter of these ranks, whose factors begin so: gradient, inputs "
        "(along --task's rows), orthogonal or kaiming (drawn).",
        show_default="no adapter",
    ),
]
TaskOption = Annotated[
    Path | None,
    typer.Option(
        help="With --start: a table (csv, tsv, json, jsonl, parquet) with columns text and label, "
        "prompt and response, or text.",
        show_default=False,
    ),
]
AdapterOption = Annotated[
    Path | None,
    typer.Option(help="With --start: the folder that gets the adapter.", show_default=False),
]
TaskRowsOption = Annotated[int, typer.Option(min=1, help="Rows of --task used, a sample.")]
WarmupOption = Annotated[
    int,
    typer.Option(
        min=0, help="Steps that train a head before --start gradient; 0: the head is trained."
    ),
]


def beginning_of(
    start: StartName | None, task: Path | None, adapter: Path | None, rows: int, warmup: int
) -> "Beginning | None":
    """Put the options together; None where no adapter is asked for.

    Raises:
        InputError: One of the three that go together is missing, every one; a folder that is a
            file.
    """
    # It takes torch and seconds, and --help needs neither.
    from adarank.commands.settings import Beginning

    if start is None and task is None and adapter is None:
        return None
    if start is None or task is None or adapter is None:
        given = {"--start": start, "--task": task, "--adapter": adapter}
        raise InputError(*(_missing(name) for name, value in given.items() if value is None))
    if adapter.exists() and not adapter.is_dir():
        what, expected = "the adapter cannot be written there", "a folder, or a new name"
        raise InputError(Problem(what, "--adapter", str(adapter), expected, "name another place"))
    return Beginning(start, task, adapter, rows, warmup)


def _missing(name: str) -> Problem:
    expected, remedy = {
        "--start": ("how the adapter's factors begin", "--start gradient"),
        "--task": (
            f"rows: {' and '.join(sorted(SIGNALS))} are computed on them, and they say which model "
            "the adapter is for",
            "--task rows.csv",
        ),
        "--adapter": ("a folder for the adapter", "--adapter begun"),
    }[name]
    what = "--start, --task and --adapter go together"
    return Problem(what, name, "not given", expected, remedy)
