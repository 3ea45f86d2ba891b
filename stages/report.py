"""Make the report: one page, with all that it needs, of what the study came to."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.places import OF_MODEL
from adarank.pipeline.artifacts.summary import StudySummary, ordered, read_summary
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import write_bytes
from adarank.pipeline.params.allocate import AllocateSection
from adarank.pipeline.params.evaluate import EvaluateSection
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.probe import ProbeSection
from adarank.pipeline.params.score import ScoreSection
from adarank.pipeline.params.signal import SignalSection
from adarank.pipeline.params.strategies import StrategiesSection
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.params.tasks import TaskSection, TasksSection
from adarank.pipeline.report.confusion import confusion_chart, read_confusions
from adarank.pipeline.report.costs import cell_costs, signal_costs
from adarank.pipeline.report.curves import curve_chart, read_curves
from adarank.pipeline.report.forest import forest
from adarank.pipeline.report.frontier import frontier
from adarank.pipeline.report.full_table import full_table
from adarank.pipeline.report.look import shown_first
from adarank.pipeline.report.origin import origin, source_of
from adarank.pipeline.report.page import TaskPage, costs_page, report_page
from adarank.pipeline.report.price import price_chart
from adarank.pipeline.report.rank_map import rank_map, read_plans
from adarank.pipeline.report.rank_path import rank_path_chart
from adarank.pipeline.report.scores import read_caveats, read_scores, score_chart
from adarank.pipeline.report.seeds import read_values, seed_chart

REPORT = Path("report/index.html")
COSTS = Path("report/costs.html")


class Params(Slice):
    """What the stage reads: every section, as the report shows what made the results."""

    model: ModelSection
    tasks: TasksSection
    study: StudySection
    probe: ProbeSection
    score: ScoreSection
    signal: SignalSection
    allocate: AllocateSection
    strategies: StrategiesSection
    finetune: FinetuneSection
    evaluate: EvaluateSection


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
    study, summary = params.study, read_summary()
    pages = [_task_page(params, summary, task) for task in study.tasks if task in summary.tasks]
    page = report_page(summary, pages, _about(study))
    write_bytes(REPORT, page.encode())
    say(f"report: {len(summary.cells)} cells in {REPORT}")


def run_costs(params: Params) -> None:
    """Read timings/ too, and write what the results took; no stage's out, as times differ."""
    study, summary = params.study, read_summary()
    named = [*study.signals, *(f"{t}-{s}" for t in study.tasks for s in study.task_signals)]
    tables = {f"Fine-tuning {task}": cell_costs(summary.of(task)) for task in summary.tasks}
    tables["Scoring"] = signal_costs(named)
    parts = [ordered(summary.of(task), study.strategies, study.budgets) for task in summary.tasks]
    charts = [chart for part in parts if (chart := price_chart(part)) is not None]
    write_bytes(COSTS, costs_page(tables, charts, _about(study)).encode())


def _task_page(params: Params, summary: StudySummary, task: str) -> TaskPage:
    study = params.study
    part = ordered(summary.of(task), study.strategies, study.budgets)
    places = dict.fromkeys(study.signals, OF_MODEL) | dict.fromkeys(study.task_signals, task)
    cells = list(part.cells)
    plans, curves = read_plans(task, cells), read_curves(task, cells, part.seeds)
    found = (
        forest(part),
        seed_chart(part, read_values(task, cells)),
        frontier(part),
        confusion_chart(read_confusions(task, cells)),
        rank_map(plans),
        score_chart(read_scores(places), read_caveats(places)),
        curve_chart(part, curves),
        rank_path_chart(part, curves),
    )
    # Figures of several tasks stand on one page: each needs a name of its own there.
    charts = [
        replace(
            chart,
            name=f"{chart.name}-{task}",
            first=shown_first(part, [view.label for view in chart.views]),
        )
        for chart in found
        if chart is not None
    ]
    sections = params.model_dump(mode="json") | {"tasks": {task: _own(params.tasks.find(task))}}
    metric = title(part.headline)
    about = (
        f"{metric[0].upper()}{metric[1:]} on {part.split} ({part.better} is better). "
        f"Data: {source_of(f'tasks/{task}')}."
    )
    made_by = origin(task, sections, places, plans)
    return TaskPage(part, charts, full_table(part), made_by, about)


def _own(task: TaskSection) -> dict[str, Any]:
    """Return a task's keys; of finetune and evaluate those that differ from the study's."""
    given = {
        name: getattr(task, name).model_dump(mode="json", exclude_unset=True)
        for name in ("finetune", "evaluate")
    }
    return task.model_dump(mode="json", exclude={"finetune", "evaluate"}) | given


def _about(study: StudySection) -> str:
    budgets = ", ".join(f"{budget:g}" for budget in study.budgets)
    return (
        f"{_some(len(study.tasks), 'task', 'tasks')}, "
        f"{_some(len(study.strategies), 'strategy', 'strategies')} at "
        f"{_some(len(study.budgets), 'budget', 'budgets')} ({budgets}), "
        f"{_some(len(study.seeds), 'seed', 'seeds')} each. Model: {source_of('model')}."
    )


def _some(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


if __name__ == "__main__":
    app()
