"""Check the whole of params.yaml before anything runs; say all that is wrong at once."""

from pathlib import Path
from typing import Any

import typer

from adarank.allocation.strategies.registry import find_strategy
from adarank.errors import InputError, Problem
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.params import report as section
from adarank.pipeline.params.loader import Slice, load, parse, read_yaml
from adarank.pipeline.params.study import Study
from stages import allocate, best, download, evaluate, finetune, score, score_task, summarize
from stages.allocate import SCORES

SCHEMAS: tuple[type[Slice], ...] = (
    download.ModelParams,
    download.DatasetParams,
    score.Params,
    score_task.Params,
    allocate.Params,
    summarize.Params,
    finetune.Params,
    evaluate.Params,
    best.Params,
    section.Params,
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
        for path in _leftovers(load(summarize.Params, params).study):
            say(f"check: {path} is of no signal of the study; allocate reruns once it is removed")


def check(path: Path) -> list[Problem]:
    """List every problem of a params file, each once, in the stages' order."""
    values = read_yaml(path)
    problems = _unknown_sections(values, path)
    for schema in SCHEMAS:
        try:
            parse(schema, values, path)
        except InputError as error:
            problems += error.problems
    problems += _contradictions(values, path)
    return list({str(problem): problem for problem in problems}.values())


def _unknown_sections(values: dict[str, Any], path: Path) -> list[Problem]:
    known = list(dict.fromkeys(name for schema in SCHEMAS for name in schema.model_fields))
    return [
        Problem(
            "unknown section",
            f"{path}: {name}",
            got=name if isinstance(name, str) else f"{name!r}",
            expected=f"one of: {', '.join(known)}",
            remedy="remove it, or mend its name",
        )
        for name in values
        if name not in known
    ]


def _contradictions(values: dict[str, Any], path: Path) -> list[Problem]:
    """What no stage's own schema can see: whether the study's parts fit together."""
    try:
        study = parse(summarize.Params, values, path).study
        defined = parse(allocate.Params, values, path).strategies.strategies()
    except InputError as error:
        return list(error.problems)
    problems = _misplaced("signals", study.signals, tuple(score.SIGNALS), path)
    problems += _misplaced("task_signals", study.task_signals, tuple(score_task.SIGNALS), path)
    if study.reference not in study.strategies:
        listed = f"one of study.strategies: {', '.join(study.strategies)}"
        what = "the reference is no strategy of the study"
        remedy = "name one of these, or add it to study.strategies"
        problems.append(Problem(what, f"{path}: study.reference", study.reference, listed, remedy))
    needed: dict[str, tuple[str, ...]] = {}
    for name in study.strategies:
        try:
            needed[name] = find_strategy(name, defined).signals
        except InputError as error:
            problems += error.problems
    return problems + _unscored(study, needed, path)


def _misplaced(key: str, asked: list[str], offered: tuple[str, ...], path: Path) -> list[Problem]:
    return [
        Problem(
            "no such signal here",
            f"{path}: study.{key}",
            name,
            f"any of: {', '.join(offered)}",
            "mend the name, or move it to the other of study.signals and study.task_signals",
        )
        for name in asked
        if name not in offered
    ]


def _unscored(study: Study, needed: dict[str, tuple[str, ...]], path: Path) -> list[Problem]:
    scored = [*study.signals, *study.task_signals]
    problems = [
        Problem(
            "a strategy's signal is not scored",
            f"{path}: study.strategies: {strategy}",
            f"scored: {', '.join(scored) or 'none'}",
            signal,
            f"add {signal} to study.{_list_of(signal)}",
        )
        for strategy, signals in needed.items()
        for signal in signals
        if signal not in scored
    ]
    if not scored:
        what = "no signal at all, and a score table is what tells the modules"
        remedy = "study.signals: stable_rank is the quickest"
        where, expected = f"{path}: study.signals", "at least one signal"
        problems.append(Problem(what, where, "none, nor in study.task_signals", expected, remedy))
    return problems


def _list_of(signal: str) -> str:
    return "signals" if signal in score.SIGNALS else "task_signals"


def _leftovers(study: Study) -> list[str]:
    scored = [*study.signals, *study.task_signals]
    return sorted(str(path) for path in SCORES.glob("*.parquet") if path.stem not in scored)


if __name__ == "__main__":
    app()
