"""Make the report: one page, with all that it needs, of what the study came to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from adarank.pipeline.artifacts.summary import Summary, read_summary
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import write_bytes
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.study import Study
from adarank.pipeline.report.chart import Chart
from adarank.pipeline.report.costs import cell_costs, signal_costs
from adarank.pipeline.report.curves import curve_chart, read_curves
from adarank.pipeline.report.forest import forest
from adarank.pipeline.report.frontier import frontier
from adarank.pipeline.report.full_table import full_table
from adarank.pipeline.report.numbers import title
from adarank.pipeline.report.origin import origin, source_of
from adarank.pipeline.report.page import costs_page, report_page
from adarank.pipeline.report.rank_map import Plans, rank_map, read_plans
from adarank.pipeline.report.scores import read_scores, score_chart

REPORT = Path("report/index.html")
COSTS = Path("report/costs.html")

Shown = Annotated[dict[str, Any], Field(description="shown as it is")]


class Params(Slice):
    """What the stage reads: every section, as the report shows what made the results."""

    model: Shown
    dataset: Shown
    task: Shown
    probe: Shown
    score: Shown
    signal: Shown
    allocate: Shown
    strategies: Shown
    study: Study
    finetune: Shown
    evaluate: Shown


app = typer.Typer(add_completion=False)
Costs = Annotated[
    bool, typer.Option("--costs", help="Write report/costs.html instead: times and memory.")
]


@app.command(epilog=describe(Params))
def main(params: ParamsFile = PARAMS_FILE, costs: Costs = False) -> None:
    """Write report/index.html, the study on one page that opens in any browser."""
    with reporting("report-costs" if costs else "report"):
        (run_costs if costs else run)(load(Params, params))


def run(params: Params) -> None:
    """Read what the study's stages wrote, and write the report."""
    study = params.study
    summary = read_summary(study.strategies, study.budgets)
    signals, cells = [*study.signals, *study.task_signals], list(summary.cells)
    plans = read_plans(cells)
    charts = _charts(summary, plans, signals)
    made_by = origin(params.model_dump(mode="json"), signals, plans)
    page = report_page(summary, charts, full_table(summary), made_by, _about(params, summary))
    write_bytes(REPORT, page.encode())
    say(f"report: {len(cells)} cells in {REPORT}")


def run_costs(params: Params) -> None:
    """Read timings/ too, and write what the results took; no stage's out, as times differ."""
    study = params.study
    summary = read_summary(study.strategies, study.budgets)
    signals = [*study.signals, *study.task_signals]
    tables = {"Fine-tuning": cell_costs(summary), "Scoring": signal_costs(signals)}
    write_bytes(COSTS, costs_page(summary, tables, _about(params, summary)).encode())


def _charts(summary: Summary, plans: Plans, signals: Sequence[str]) -> list[Chart]:
    found = (
        frontier(summary),
        forest(summary),
        rank_map(plans),
        score_chart(read_scores(signals)),
        curve_chart(summary, read_curves(list(summary.cells), summary.seeds)),
    )
    return [chart for chart in found if chart is not None]


def _about(params: Params, summary: Summary) -> str:
    study = params.study
    budgets = ", ".join(f"{budget:g}" for budget in study.budgets)
    return (
        f"{title(summary.headline)} on {summary.split} ({summary.better} is better). "
        f"{_some(len(study.strategies), 'strategy', 'strategies')} at "
        f"{_some(len(study.budgets), 'budget', 'budgets')} ({budgets}), "
        f"{_some(len(summary.seeds), 'seed', 'seeds')} each. "
        f"Dataset: {source_of('dataset')}. Model: {source_of('model')}."
    )


def _some(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


if __name__ == "__main__":
    app()
