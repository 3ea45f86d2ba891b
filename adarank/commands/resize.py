"""The command `adarank resize`: a trained LoRA adapter, smaller, at an exact budget."""

from pathlib import Path
from typing import Annotated

import typer

from adarank.errors import input_error
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
    texts: Annotated[
        Path | None,
        typer.Option(help="Texts, one a line: keep what the loss sees of them. Needs --model."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="With --texts: the base model's folder, with its tokenizer.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Texts used, from the first on.")] = 256,
    max_length: Annotated[int, typer.Option(min=4, help="Longest text in tokens.")] = 128,
) -> None:
    """Make a LoRA adapter smaller, keeping what counts most of all its modules together.

    The components of the updates (their singular vectors) compete over all modules, each by its
    share of the squared norm per parameter; what the budget does not reach is dropped. With --texts
    it is their estimated effect on the loss instead, for causal language models and classifiers.
    The result is a LoRA that PEFT loads. Its error, by module and in all, is shown on standard
    error as a table, and written to standard output as JSON.
    """
    with telling_errors("adarank resize"):
        # These take torch and seconds; --help needs neither.
        from adarank.pipeline.adapters import resizing
        from adarank.pipeline.adapters.reading import read_adapter
        from adarank.pipeline.adapters.writing import refuse_output
        from adarank.pipeline.console.resize_table import as_json, show_resized

        size = resizing.Size(budget, parameters, max_rank)
        by_loss = _by_loss(texts, model)
        refuse_output(output)
        read = read_adapter(adapter)
        if texts and model:
            from adarank.pipeline.adapters.by_loss import by_texts  # transformers: seconds more

            components = by_texts(read, model, texts, rows, max_length)
        else:
            components = resizing.decomposed(read)
        modules = resizing.resize(read, components, resizing.choose(read, components, size), output)
        show_resized(modules, by_loss=by_loss)
        for part in read.parts:
            if not part.linear:
                say(f"{part.name}: no linear layer, kept whole ({part.parameters:,} parameters)")
        before = sum(part.parameters for part in read.linear)
        after = sum(module.parameters for module in modules)
        say(f"written to {output}: {after:,} of {before:,} parameters")
        typer.echo(as_json(modules, by_loss=by_loss), nl=False)


def _by_loss(texts: Path | None, model: Path | None) -> bool:
    if (texts is None) != (model is None):
        raise input_error(
            "texts and model go together",
            where="--texts" if model is None else "--model",
            got="one of them",
            expected="--texts FILE --model FOLDER, or neither",
            remedy="name the base model's folder, or leave out --texts",
        )
    return texts is not None
