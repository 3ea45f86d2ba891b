"""Decide the rank of every module: one strategy at one budget.

Run: python -m stages.allocate --strategy disagreement --budget 4
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from adarank.allocation.allocate import allocate
from adarank.allocation.scale import Policy, Scale
from adarank.errors import input_error
from stages.cli import PARAMS_FILE, ParamsFile, reporting
from stages.files import read_parquet, write_json
from stages.params import Section, Slice, describe, load
from stages.rank_table import show_ranks

SCORES = Path("data/scores/disagreement.parquet")
PLANS = Path("data/plans")


class ScaleParams(Section):
    """How alphas follow from ranks."""

    policy: Policy = Field(
        description="ratio (the same factor, `value`, for every module), rslora (alpha = value, "
        "factor alpha / sqrt(rank)) or constant (alpha = value, factor alpha / rank)."
    )
    value: float = Field(gt=0, allow_inf_nan=False, description="The policy's number.")


class Allocate(Section):
    """From weights to whole ranks."""

    rounding: Literal["exact", "hamilton", "dhondt", "floor"] = Field(
        description="exact (spends the whole budget), hamilton (largest remainders), dhondt (a "
        "larger budget never takes a rank away) or floor (as published; underspends)."
    )
    min_rank: int = Field(ge=0, description="Least rank of a module; 0: it may get no adapter.")
    max_rank: int | None = Field(
        ge=1, description="Greatest rank of a module; null: min(d_in, d_out) of each."
    )
    scale: ScaleParams = Field(
        description="policy: ratio, rslora or constant; value: its number, above 0."
    )
    seed: int = Field(ge=0, description="Seed of the strategy permuted.")


class Params(Slice):
    """What this stage reads."""

    allocate: Allocate


app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(
    strategy: Annotated[str, typer.Option(help="uniform, disagreement, reversed or permuted.")],
    budget: Annotated[str, typer.Option(help="Average rank: spend what this uniform rank costs.")],
    params: ParamsFile = PARAMS_FILE,
) -> None:
    """Decide the rank of every module from its score; writes data/plans/STRATEGY-BUDGET.json."""
    with reporting(f"allocate-{strategy}-{budget}"):
        run(load(Params, params), strategy, budget)


def run(params: Params, strategy: str, budget: str) -> None:
    """Read the scores and write the plan, relative to the current folder."""
    average_rank = _number(budget)
    scores, about = read_parquet(SCORES)
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
        model_sha256=_model_sha256(about),
    )
    write_json(PLANS / f"{strategy}-{budget}.json", plan.to_json())
    show_ranks(plan, scores)


def _number(budget: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", budget):
        raise input_error(
            "not a number",
            where="--budget",
            got=budget,
            expected="an average rank in plain digits, such as 4 or 0.5",
            remedy="mend study.budgets in params.yaml",
        )
    return float(budget)


def _model_sha256(about: dict[str, Any]) -> str:
    digest = about.get("model_sha256")
    if not isinstance(digest, str) or not digest:
        raise input_error(
            "the scores do not say which model they are of",
            where=str(SCORES),
            got=about,
            expected="model_sha256 in the file's metadata",
            remedy="delete the file and score again: `dvc repro`",
        )
    return digest


if __name__ == "__main__":
    app()
