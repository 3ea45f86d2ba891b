"""The command `adarank scratch`: what interrupted work is kept, and taking it away."""

import re
from pathlib import Path
from typing import Annotated

import typer

from adarank.errors import input_error
from adarank.pipeline.console.reporting import telling_errors
from adarank.pipeline.files.places import scratch_folder, scratch_url

app = typer.Typer(
    help="Finished and half-finished work that stages go on from: list it, prune it.",
    no_args_is_help=False,
    invoke_without_command=True,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@app.callback(
    epilog="It lies in ADARANK_SCRATCH, by default scratch in ADARANK_CACHE, by default "
    "~/.cache/adarank; `off` keeps nothing. Whatever is pruned is only computed again."
)
def show(context: typer.Context) -> None:
    """List what is kept: kind, size, age since it was written or used last, and whose it is."""
    if context.invoked_subcommand is not None:
        return
    with telling_errors("adarank scratch"):
        from adarank.pipeline.scratch.listing import listed

        folder = _folder()
        found = listed(folder)
        for one in found:
            typer.echo(f"{one.kind:<11} {_size(one.size):>9} {_age(one.age):>5}  {one.what}")
        typer.echo(f"{len(found)} entries, {_size(sum(one.size for one in found))} in {folder}")


@app.command("prune")
def prune_command(
    older_than: Annotated[
        str | None,
        typer.Option(help="Entries neither written nor used for so long: 90m, 36h, 7d, 2w."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
) -> None:
    """Remove entries; never those that a running stage holds."""
    with telling_errors("adarank scratch prune"):
        if everything == (older_than is not None):
            raise input_error(
                "which entries?", where="prune", expected="either --older-than 7d or --all"
            )
        least = 0.0 if older_than is None else _seconds(older_than)
        from adarank.pipeline.scratch.listing import prune

        removed, in_use = prune(_folder(), lambda one: one.age >= least)
        typer.echo(f"{len(removed)} entries removed, {_size(sum(o.size for o in removed))} freed")
        if in_use:
            typer.echo(f"{len(in_use)} kept, for a running stage holds them")


def _folder() -> Path:
    if scratch_url() is not None:
        raise input_error(
            "the scratch store is behind a URL, and only a folder is listed and pruned here",
            where="ADARANK_SCRATCH",
            got=scratch_url(),
            remedy="use the store's own tools, such as `aws s3 ls` and a lifecycle rule that "
            "expires objects",
        )
    folder = scratch_folder()
    if folder is None:
        raise input_error(
            "the scratch store is switched off",
            where="ADARANK_SCRATCH",
            got="off",
            remedy="unset it, or name a folder",
        )
    return folder


def _seconds(given: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", given.strip())
    if not found:
        raise input_error(
            "no such time",
            where="--older-than",
            got=given,
            expected="a number and s, m, h, d or w: 90m, 36h, 7d",
        )
    return float(found[1]) * _UNITS[found[2]]


def _age(seconds: float) -> str:
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
