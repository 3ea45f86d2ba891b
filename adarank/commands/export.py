"""The command `adarank export`: an adapter of mixed ranks for programs that know one rank."""

from typing import Annotated

import typer

from adarank.commands.resize import Adapter, Output
from adarank.errors import input_error
from adarank.pipeline.console.reporting import say, telling_errors


def export(
    adapter: Adapter,
    output: Output,
    padded: Annotated[
        bool, typer.Option("--padded", help="Every module at the largest rank; no patterns.")
    ] = False,
    per_kind: Annotated[
        bool, typer.Option("--per-kind", help="With --padded: the largest rank of each kind.")
    ] = False,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --padded: this rank, to match another.", show_default="the largest"
        ),
    ] = None,
) -> None:
    """Write an adapter for programs that read r and lora_alpha, and no patterns.

    Zero rows and columns fill every module up to one rank, and the scales are multiplied into B:
    the model answers as before. docs/adapters.md says which program needs it.
    """
    with telling_errors("adarank export"):
        if not padded or (per_kind and rank is not None):
            raise input_error(
                "which form?",
                where="export",
                expected="--padded, with either --per-kind or --rank N or neither",
                remedy="adarank export ADAPTER --padded --output FOLDER",
            )
        from adarank.pipeline.adapters.exporting import export_padded
        from adarank.pipeline.adapters.reading import read_adapter
        from adarank.pipeline.adapters.writing import refuse_output

        refuse_output(output)
        read = read_adapter(adapter)
        ranks = export_padded(read, output, per_kind=per_kind, rank=rank)
        before = sum(part.parameters for part in read.parts)
        after = sum(part.parameters_per_rank * ranks[part.name] for part in read.parts)
        say(f"{len(ranks)} modules, highest rank {max(ranks.values())}")
        say(f"{before:,} parameters padded with {after - before:,} zeros")
