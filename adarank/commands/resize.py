"""The command `adarank resize`: a trained LoRA adapter, smaller, at an exact budget."""

from pathlib import Path
from typing import Annotated

import typer

from adarank.pipeline.console.reporting import say, telling_errors

Adapter = Annotated[
    Path,
    typer.Argument(
        metavar="ADAPTER",
        help="A folder with adapter_config.json and adapter_model.safetensors, as PEFT saves them.",
    ),
]
Output = Annotated[Path, typer.Option(help="Folder to write; nothing may be there yet.")]


def resize(
    adapter: Adapter,
    output: Output,
    budget: Annotated[
        float | None, typer.Option(help="Average rank: what this uniform rank would cost.")
    ] = None,
    parameters: Annotated[
        int | None, typer.Option(help="Entries of all factors of linear layers.")
    ] = None,
    max_rank: Annotated[
        int | None, typer.Option(help="Highest rank of a module; alone: cut every module there.")
    ] = None,
) -> None:
    """Make a LoRA adapter smaller, keeping what counts most of all its modules together.

    The components of the updates (their singular vectors) compete over all modules, each by its
    share of the squared norm per parameter; what the budget does not reach is dropped. The result
    is a LoRA that PEFT loads. Its error, by module and in all, is shown on standard error as a
    table, and written to standard output as JSON.
    """
    with telling_errors("adarank resize"):
        # These take torch and seconds; --help needs neither.
        from adarank.pipeline.adapters import resizing
        from adarank.pipeline.adapters.reading import read_adapter
        from adarank.pipeline.adapters.writing import refuse_output
        from adarank.pipeline.console.resize_table import as_json, show_resized

        size = resizing.Size(budget, parameters, max_rank)
        refuse_output(output)
        read = read_adapter(adapter)
        components = resizing.decomposed(read)
        choice = resizing.choose(read, components, size)
        modules = resizing.resize(read, components, choice, output)
        show_resized(modules)
        for part in read.parts:
            if not part.linear:
                say(f"{part.name}: no linear layer, kept whole ({part.parameters:,} parameters)")
        typer.echo(as_json(modules), nl=False)
