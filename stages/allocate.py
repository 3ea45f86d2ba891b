"""Decide the rank of every module: one strategy at one budget.

Run: python -m stages.allocate --strategy disagreement --budget 4
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BeforeValidator, Field

from adarank.allocation.allocate import allocate
from adarank.allocation.rounding.apportion import RENAMED
from adarank.allocation.scale import Policy, Scale
from adarank.allocation.signal import Signal, read_signal
from adarank.allocation.strategies.registry import find_strategy
from adarank.errors import input_error, within
from adarank.pipeline.console.rank_table import show_ranks
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import read_parquet, write_json
from adarank.pipeline.params.loader import Section, Slice, describe, load
from adarank.pipeline.params.strategies import StrategiesSection

SCORES = Path("data/scores")
PLANS = Path("data/plans")


def _current_rounding(name: object) -> object:
    if isinstance(name, str) and name in RENAMED:
        raise ValueError(f"{name} is now called {RENAMED[name]}: rounding: {RENAMED[name]}")
    return name


class ScaleParams(Section):
    """How alphas follow from ranks."""

    policy: Policy = Field(
        description="ratio (the same factor, `value`, for every module), rslora (alpha = value, "
        "factor alpha / sqrt(rank)) or constant (alpha = value, factor alpha / rank)."
    )
    value: float = Field(gt=0, allow_inf_nan=False, description="The policy's number.")


class Allocate(Section):
    """From weights to whole ranks."""

    rounding: Annotated[
        Literal["spend_all", "hamilton", "floor"], BeforeValidator(_current_rounding)
    ] = Field(
        description="spend_all (the closest ranks that spend the whole budget), hamilton (largest "
        "remainders) or floor (as published; underspends)."
    )
    min_rank: int | None = Field(
        None,
        ge=0,
        description="Least rank of a module; 0: it may get no adapter; null: 1 for budgets of 2 "
        "and more, else 0.",
    )
    max_rank: int | None = Field(
        ge=1, description="Greatest rank of a module; null: min(d_in, d_out) of each."
    )
    scale: ScaleParams = Field(
        description="policy: ratio, rslora or constant; value: its number, above 0."
    )
    seed: int = Field(ge=0, description="Seed of permuted_.")
    permutations: int = Field(
        5,
        ge=1,
        le=1000,
        description="Independent draws of a permuted_ plan; seed s trains draw s modulo this.",
    )


class Params(Slice):
    """What this stage reads."""

    allocate: Allocate
    strategies: StrategiesSection = Field(
        description="user-defined strategies by name: {custom: {layer_ranks: [...]}}, a rank a "
        "block; {explicit: ...}, lists by kind; {combined: {NAME: WEIGHT ...}}, a mean of shares"
    )


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(
    strategy: Annotated[
        str, typer.Option(help="Its name, with reversed_, permuted_ or literal_ before it or not.")
    ],
    budget: Annotated[str, typer.Option(help="Average rank: spend what this uniform rank costs.")],
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Decide the rank of every module; writes data/plans/STRATEGY-BUDGET.json."""
    with reporting(f"allocate-{strategy}-{budget}"):
        run(load(Params, params), strategy, budget)


def run(params: Params, strategy: str, budget: str) -> None:
    """Read the scores that the strategy needs and write the plan."""
    average_rank = _number(budget)
    defined = params.strategies.strategies()
    scores, model = read_scores(find_strategy(strategy, defined).signals)
    options = params.allocate
    plan = allocate(
        scores,
        budget=average_rank,
        strategy=strategy,
        rounding=options.rounding,
        min_rank=options.min_rank,
        max_rank=options.max_rank,
        scale=Scale(options.scale.policy, options.scale.value),
        seed=options.seed,
        permutations=options.permutations,
        model_sha256=model,
        defined=defined,
    )
    write_json(PLANS / f"{strategy}-{budget}.json", plan.to_json())
    show_ranks(plan, next(iter(scores.values())).modules)
    if plan.note:
        say(f"allocate: {plan.note}")


def read_scores(signals: Sequence[str]) -> tuple[dict[str, Signal], str]:
    """Read the tables of some signals, and the hash of the model that all are of.

    A strategy without a signal still needs the modules, which any table lists.

    Raises:
        InputError: A table is absent, or they are of different models.
    """
    there = sorted(path.stem for path in SCORES.glob("*.parquet"))
    wanted = list(signals) or there[:1]
    _check_scored(wanted, there)
    read = {name: read_parquet(SCORES / f"{name}.parquet") for name in wanted}
    models = {name: _model_sha256(name, about) for name, (_, about) in read.items()}
    scores: dict[str, Signal] = {}
    for name, (table, _) in read.items():
        with within(f"{SCORES / name}.parquet"):
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


def _check_scored(wanted: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if wanted and not missing:
        return
    raise input_error(
        f"not scored: {', '.join(missing)}" if wanted else "no score table at all",
        where=str(SCORES),
        got=", ".join(there) or "no tables",
        expected=", ".join(wanted) or "at least one, which tells the modules",
        remedy="add it to study.signals or study.task_signals, whichever offers it, and run "
        "`dvc repro`: the stage score@SIGNAL or score_task@SIGNAL makes it"
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


def _model_sha256(signal: str, about: dict[str, Any]) -> str:
    digest = about.get("model_sha256")
    if not isinstance(digest, str) or not digest:
        raise input_error(
            "the scores do not say which model they are of",
            where=f"{SCORES / signal}.parquet",
            got=about,
            expected="model_sha256 in the file's metadata",
            remedy="delete the file and score again: `dvc repro`",
        )
    return digest


if __name__ == "__main__":
    app()
