"""The pages as HTML: one file each, everything in it, nothing asked of the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from adarank.comparison.wording import title
from adarank.pipeline.artifacts.summary import StudySummary, Summary, Verdict
from adarank.pipeline.report.across import across_table, gains_chart
from adarank.pipeline.report.chart import Chart, Table
from adarank.pipeline.report.full_table import FullTable
from adarank.pipeline.report.merges import bars_chart, masks_chart, merges_table
from adarank.pipeline.report.numbers import unit, value
from adarank.pipeline.report.palette import NAMED, exchange

HERE = Path(__file__).parent
HEAD = "head.html"
STYLE = "page.css"
SCRIPTS = ("tasks.js", "charts.js", "table.js")


@dataclass(frozen=True)
class TaskPage:
    """One task's part of the page.

    Attributes:
        summary: What the task came to.
        charts: Its figures, in order; their names are unlike those of any other task.
        table: All of its cells.
        origin: What made its results, by heading.
        about: The task in one line.
    """

    summary: Summary
    charts: Sequence[Chart]
    table: FullTable
    origin: Mapping[str, Table]
    about: str

    @property
    def name(self) -> str:
        """The task's name."""
        return self.summary.task

    @property
    def baseline(self) -> str:
        """What a constant answer measures, in a sentence; empty where there is none."""
        return _baseline(self.summary)

    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict against the reference was given."""
        return _verdicts(self.summary)

    @property
    def failures(self) -> dict[tuple[str, str], str]:
        """The seeds that failed, by cell and error."""
        return _failures(self.summary)


def report_page(study: StudySummary, pages: Sequence[TaskPage], about: str) -> str:
    """Fill the report's template.

    Args:
        study: What the study came to.
        pages: Its tasks, in order.
        about: The study in one line.
    """
    gains, merges = gains_chart(study), study.merges
    merged = [bars_chart(merges), masks_chart(merges)] if merges else []
    shared = [chart for chart in (gains, *merged) if chart]
    charts = [chart for page in pages for chart in page.charts] + shared
    return _render(
        "report.html",
        study=study,
        pages=pages,
        table=across_table(study),
        gains=gains,
        merged=[chart for chart in merged if chart],
        merges_table=merges and merges_table(merges),
        about=about,
        drawings=_drawings(charts),
        exchange=exchange(),
        plotly=Markup(get_plotlyjs()),
        scripts=[Markup(_read(name)) for name in SCRIPTS],
    )


def costs_page(tables: Mapping[str, Table], charts: Sequence[Chart], about: str) -> str:
    """Fill the template of what the results took; without figures it needs no script."""
    return _render(
        "costs.html",
        tables=tables,
        charts=charts,
        about=about,
        drawings=_drawings(charts),
        exchange=exchange(),
        plotly=Markup(get_plotlyjs()),
        script=Markup(_read("charts.js")),
    )


def _drawings(charts: Sequence[Chart]) -> dict[str, Any]:
    return {c.name: [view.drawing() for view in c.views] for c in charts}


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    environment.filters["titled"] = title
    page = environment.get_template(template)
    return page.render(head=HEAD, style=Markup(_read(STYLE)), colours=NAMED, **values)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _baseline(summary: Summary) -> str:
    """Describe what a constant answer would measure; empty where the task has none."""
    if summary.baseline is None:
        return ""
    percent = unit(summary.headline)
    least = f"{value(summary.baseline.value, summary.headline)}{f' {percent}' if percent else ''}"
    return f"Answering {summary.baseline.answer} gives {title(summary.headline)} {least}."


def _failures(summary: Summary) -> dict[tuple[str, str], str]:
    """Name the seeds that failed, by cell and error."""
    found: dict[tuple[str, str], list[int]] = {}
    for name, cell in summary.cells.items():
        for one in cell.failed:
            found.setdefault((name, one.error), []).append(one.seed)
    return {
        key: f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
        for key, seeds in found.items()
    }


def _verdicts(summary: Summary) -> dict[Verdict, int]:
    """Count the verdicts against the reference, in a fixed order, those that occur."""
    given = [one.verdict for one in summary.comparisons if one.role == "reference"]
    order: tuple[Verdict, ...] = ("better", "worse", "not distinguishable", "not comparable")
    return {verdict: given.count(verdict) for verdict in order if verdict in given}
