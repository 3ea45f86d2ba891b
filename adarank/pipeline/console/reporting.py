"""What every stage's command does alike: errors to exit codes, times to a side file."""

import errno
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from adarank.errors import AdaRankError, Problem, out_of_memory
from adarank.pipeline.console.memory import memory_problem
from adarank.pipeline.console.secrets import hidden
from adarank.pipeline.console.stopping import Stopped, stoppable, what_next
from adarank.pipeline.files.whole import write_json

ParamsFile = Annotated[
    Path, typer.Option("--params", help="The parameters file, YAML.", show_default=True)
]
PARAMS_FILE = Path("params.yaml")

# What is wrong with a place, and not with the code that names it.
_PLACES = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def reporting(name: str, *, shared: bool = False) -> Iterator[dict[str, Any]]:
    """Run a stage's body as `telling_errors` does, and take its time.

    Times, peak memory, the host and its load average go to timings/NAME.json, which no stage
    depends on, with whatever else of its cost the body puts into the mapping that it is given.

    Args:
        name: The stage, and its cell if it has one.
        shared: Whether the stage knows how to share its work among the processes of a launcher.
            If not, the first does it alone, and the others end at once.
    """
    began = time.perf_counter()
    with telling_errors(name):
        if not shared:
            _be_alone()
        costs: dict[str, Any] = {}
        yield costs
        _record(name, time.perf_counter() - began, costs)


@contextmanager
def telling_errors(name: str) -> Iterator[None]:
    """Run a command's body; a known error prints as itself and sets the exit code.

    An interruption (SIGINT, SIGTERM) ends it as cleanly, with 128 + the signal's number.
    """
    try:
        with stoppable():
            yield
    except Stopped as stop:
        typer.echo(f"\n{name}: {stop}; {what_next(name)}", err=True)
        raise typer.Exit(stop.exit_code) from None
    except AdaRankError as error:
        typer.echo(hidden(f"{name}: cannot go on\n{error}"), err=True)
        raise typer.Exit(error.exit_code) from None
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        typer.echo(f"{name}: cannot go on\n{memory_problem(name, error)}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        if error.errno in _PLACES and error.filename is not None:
            typer.echo(f"{name}: cannot go on\n{_misplaced(error)}", err=True)
            raise typer.Exit(2) from None
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        typer.echo(
            f"{name}: the disk is full ({error.filename or error})\n"
            "  nothing half-written was left\n"
            "  remedy:   free some space and run the same command again",
            err=True,
        )
        raise typer.Exit(1) from None


def say(message: str) -> None:
    """Print a message for the person running the stage, on standard error."""
    if os.environ.get("RANK", "0") == "0":
        print(hidden(message), file=sys.stderr, flush=True)


def _misplaced(error: OSError) -> Problem:
    return Problem(
        "this place cannot be used",
        " -> ".join(str(place) for place in (error.filename, error.filename2) if place is not None),
        error.strerror,
        "a file where a file should be, folders above it, and leave to read and write there",
        "move away what is in its place, or change its permissions",
    )


def _be_alone() -> None:
    if os.environ.get("RANK", "0") != "0":
        raise typer.Exit(0)
    for variable in _LAUNCHED:
        # Or the Trainer would wait for processes that have ended.
        os.environ.pop(variable, None)


def _record(name: str, seconds: float, costs: dict[str, Any]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    record: dict[str, Any] = {"seconds": round(seconds, 3), "peak_mib": round(peak, 1)}
    record |= {"host": platform.node(), "cores": os.cpu_count()}
    with suppress(OSError):
        record["load"] = round(os.getloadavg()[0], 2)
    write_json(Path("timings") / f"{name}.json", record | costs)
