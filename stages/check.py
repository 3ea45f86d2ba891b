"""Check the whole of params.yaml before anything runs; say all that is wrong at once."""

from pathlib import Path
from typing import Any

import typer

from adarank.allocation.strategies import STRATEGIES
from adarank.errors import InputError, Problem
from stages import allocate, download, evaluate, finetune, score, summarize
from stages.cli import PARAMS_FILE, ParamsFile, reporting, say
from stages.params import Slice, load, read_yaml

SCHEMAS: tuple[type[Slice], ...] = (
    download.ModelParams,
    download.DatasetParams,
    score.Params,
    allocate.Params,
    summarize.Params,
    finetune.Params,
    evaluate.Params,
)

app = typer.Typer(add_completion=False)


@app.command()
def main(params: ParamsFile = PARAMS_FILE) -> None:
    """Check params.yaml as every stage will read it; exit code 2 and all problems if it is bad."""
    with reporting("check"):
        problems = check(params)
        if problems:
            raise InputError(*problems)
        say(f"check: {params} is good")


def check(path: Path) -> list[Problem]:
    """List every problem of a params file, each once, in the stages' order."""
    values = read_yaml(path)
    problems = _unknown_sections(values, path)
    for schema in SCHEMAS:
        try:
            load(schema, path)
        except InputError as error:
            problems += error.problems
    problems += _unknown_strategies(values.get("study"), path)
    return list({str(problem): problem for problem in problems}.values())


def _unknown_sections(values: dict[str, Any], path: Path) -> list[Problem]:
    known = list(dict.fromkeys(name for schema in SCHEMAS for name in schema.model_fields))
    return [
        Problem(
            "unknown section",
            f"{path}: {name}",
            expected=f"one of: {', '.join(known)}",
            remedy="remove it, or mend its name",
        )
        for name in values
        if name not in known
    ]


def _unknown_strategies(study: object, path: Path) -> list[Problem]:
    asked = study.get("strategies") if isinstance(study, dict) else None
    return [
        Problem(
            "no such strategy",
            f"{path}: study.strategies",
            name,
            f"any of: {', '.join(STRATEGIES)}",
        )
        for name in (asked if isinstance(asked, list) else [])
        if isinstance(name, str) and name not in STRATEGIES
    ]


if __name__ == "__main__":
    app()
