"""Decide the rank of every module: one strategy at one budget, for every task of the study.

Run: python -m stages.allocate --strategy disagreement --budget 4
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors.numpy import save

from adarank.allocation.allocate import allocate
from adarank.allocation.directions import directions_of
from adarank.allocation.plan import RankPlan
from adarank.allocation.scale import Scale
from adarank.allocation.signal import Signal, read_signal
from adarank.allocation.starts import SIGNALS as START_SIGNALS
from adarank.allocation.strategies.priced import BlockPrice
from adarank.allocation.strategies.registry import find_strategy
from adarank.allocation.strategies.strategy import Strategy
from adarank.allocation.units import Step
from adarank.errors import input_error, within
from adarank.models.bias_norm import BIAS_NORM, BiasNorm
from adarank.pipeline.artifacts.places import OF_MODEL, PLANS, SCORES
from adarank.pipeline.console.rank_table import show_ranks
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import whole_folder, write_bytes, write_json
from adarank.pipeline.params.allocate import AllocateSection
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.signal import MEASURED, SIGNALS
from adarank.pipeline.params.strategies import StrategiesSection
from adarank.pipeline.params.study import Names, plan_name

Signals = dict[str, Signal]


class StudyTasks(Slice):
    """What the stage reads of the study."""

    tasks: Names = Field(description="the tasks that are learned")


class Params(Slice):
    """What this stage reads."""

    study: StudyTasks
    allocate: AllocateSection
    strategies: StrategiesSection = Field(
        description="user-defined strategies by name: {custom: {layer_ranks: [...]}}, a rank a "
        "block; {explicit: ...}, lists by kind; {combined: {NAME: WEIGHT ...}}, a mean of shares"
    )


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(
    strategy: Annotated[
        str,
        typer.Option(help="Its name, with or without prefixes such as permuted_."),
    ],
    budget: Annotated[str, typer.Option(help="Average rank: spend what this uniform rank costs.")],
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Decide the rank of every module; writes data/plans/STRATEGY-BUDGET, a file a task."""
    with reporting(f"allocate-{strategy}-{budget}"):
        run(load(Params, params), strategy, budget)


def run(params: Params, strategy: str, budget: str) -> None:
    """Read the scores that the strategy needs and write the plan of every task.

    Beside a plan whose factors begin along directions lie these, in TASK.safetensors; beside any
    other, a file of no tensors, so that training depends on the file of its own plan alone.

    A strategy that needs no task gets one plan, written for each of them.
    """
    average_rank = _number(budget)
    defined = params.strategies.strategies()
    found = find_strategy(strategy, defined)
    shared = all(signal in SIGNALS for signal in found.signals)
    plans: dict[str, RankPlan] = {}
    for task in params.study.tasks:
        if shared and plans:
            plans[task] = next(iter(plans.values()))
            continue
        scores, model = read_scores(found.signals, task)
        bias_norm = read_bias_norm(task) if found.bias_norm else None
        plans[task] = _planned(params, strategy, average_rank, scores, model, defined, bias_norm)
        if MEASURED in found.signals:
            plans[task] = _with_runs(plans[task], task)
        if not shared:
            say(f"allocate: {task}")
        show_ranks(plans[task], next(iter(scores.values())).modules)
        if bias_norm := plans[task].bias_norm:
            say(f"allocate: {bias_norm.in_words()}; ranks with what is left")
        if plans[task].note:
            say(f"allocate: {plans[task].note}")
    with whole_folder(PLANS / plan_name(strategy, budget)) as folder:
        for task, plan in plans.items():
            write_json(folder / f"{task}.json", plan.to_json())
            write_bytes(folder / f"{task}.safetensors", save(_directions(plan, task)))


def _directions(plan: RankPlan, task: str) -> dict[str, NDArray[np.float32]]:
    """Read as many directions of every module as any draw of the plan's ranks needs."""
    if plan.start not in START_SIGNALS:
        return {}
    path = SCORES / task / f"{START_SIGNALS[plan.start]}.parquet"
    table, _ = read_parquet(path)
    with within(str(path)):
        found = directions_of(table)
    most = Counter[str]()
    for modules in (plan.modules, *plan.variants):
        most |= Counter({module.name: module.rank for module in modules})
    short = {name: len(found[name]) for name, rank in most.items() if len(found[name]) < rank}
    if short:
        raise input_error(
            f"ranks above the directions kept of {len(short)} modules",
            where=f"strategy {plan.strategy}, {path}",
            got={name: f"rank {most[name]}, {kept} directions" for name, kept in short.items()},
            expected=f"at least {max(most.values())} directions of every module",
            remedy=f"signal.components: {max(most.values())}",
        )
    return {name: found[name][:rank] for name, rank in sorted(most.items()) if rank}


def _planned(
    params: Params,
    strategy: str,
    budget: float,
    scores: Signals,
    model: str,
    defined: dict[str, Strategy],
    bias_norm: BiasNorm | None,
) -> RankPlan:
    options = params.allocate
    return allocate(
        scores,
        budget=budget,
        strategy=strategy,
        rounding=options.rounding,
        min_rank=options.min_rank,
        max_rank=options.max_rank,
        scale=Scale(options.scale.policy, options.scale.value),
        seed=options.seed,
        permutations=options.permutations,
        model_sha256=model,
        defined=defined,
        bias_norm=bias_norm,
        unit=options.unit,
        step=Step(**options.step.model_dump()),
        block_price=BlockPrice(options.price_per_block, options.priced_by),
    )


def _with_runs(plan: RankPlan, task: str) -> RankPlan:
    """Note what the runs that a plan was made from took."""
    about = read_parquet(SCORES / task / f"{MEASURED}.parquet")[1]
    took = f"{about['runs']} runs of {about['steps']} steps"
    note = f"its weights come from {took}, which are part of what this plan costs"
    return replace(plan, schema=2, note=f"{plan.note}; {note}" if plan.note else note)


def read_scores(signals: Sequence[str], task: str) -> tuple[Signals, str]:
    """Read the tables of some signals, and the hash of the model that all are of.

    A strategy without a signal still needs to know the modules: any one table names them.

    Args:
        signals: What the strategy needs.
        task: Whose tables to read of signals that need a task.

    Raises:
        InputError: A table is absent, or they are of different models.
    """
    there = {path.stem: path for place in (OF_MODEL, task) for path in _tables(place)}
    wanted = list(signals) or list(there)[:1]
    _check_scored(wanted, list(there), task)
    read = {name: read_parquet(there[name]) for name in wanted}
    models = {name: _model_sha256(there[name], about) for name, (_, about) in read.items()}
    scores: Signals = {}
    for name, (table, _) in read.items():
        with within(str(there[name])):
            scores[name] = read_signal(table)
    if len(set(models.values())) > 1:
        raise input_error(
            "the score tables are of different models",
            where=str(SCORES),
            got=models,
            expected="one model",
            remedy="`dvc repro` scores the present one by each",
        )
    return scores, models[wanted[0]]


def read_bias_norm(task: str) -> BiasNorm:
    """Read the model's biases and norms from the footer of any table of scores.

    Raises:
        InputError: The table has none in its footer.
    """
    path = next(path for place in (OF_MODEL, task) for path in _tables(place))
    _, about = read_parquet(path)
    try:
        return TypeAdapter(BiasNorm).validate_python(about.get(BIAS_NORM))
    except ValidationError:
        raise input_error(
            "the scores do not name the model's biases and norms",
            where=str(path),
            got=about.get(BIAS_NORM),
            expected=f"{BIAS_NORM} in the file's metadata",
            remedy="delete the file and score again: `dvc repro`",
        ) from None


def _tables(place: str) -> list[Path]:
    return sorted((SCORES / place).glob("*.parquet"))


def _check_scored(wanted: Sequence[str], there: Sequence[str], task: str) -> None:
    missing = [name for name in wanted if name not in there]
    if wanted and not missing:
        return
    raise input_error(
        f"not scored: {', '.join(missing)}" if wanted else "no score table at all",
        where=f"{SCORES}/{OF_MODEL} and {SCORES}/{task}",
        got=", ".join(there) or "no tables",
        expected=", ".join(wanted) or "at least one, which names the modules",
        remedy=f"train for it: `python -m bench.landscape --task {task} --write`"
        if missing == [MEASURED]
        else "add it to study.signals or study.task_signals, whichever offers it, and run "
        "`dvc repro`: the stage score@SIGNAL or score_task@TASK-SIGNAL makes it"
        + ("" if wanted else "; stable_rank is the quickest"),
    )


def _number(budget: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", budget):
        raise input_error(
            "not a number",
            where="--budget",
            got=budget,
            expected="an average rank in plain digits, such as 4 or 0.5",
            remedy="correct study.budgets in params.yaml",
        )
    return float(budget)


def _model_sha256(path: Path, about: dict[str, Any]) -> str:
    digest = about.get("model_sha256")
    if not isinstance(digest, str) or not digest:
        raise input_error(
            "the scores do not say which model they are of",
            where=str(path),
            got=about,
            expected="model_sha256 in the file's metadata",
            remedy="delete the file and score again: `dvc repro`",
        )
    return digest


if __name__ == "__main__":
    app()
