"""The pages as HTML: one file each, everything in it, nothing asked of the network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from adarank.pipeline.artifacts.summary import Summary, Verdict
from adarank.pipeline.report.chart import Chart, Table
from adarank.pipeline.report.full_table import FullTable
from adarank.pipeline.report.numbers import title, unit, value
from adarank.pipeline.report.palette import NAMED, exchange

HERE = Path(__file__).parent
HEAD = "head.html"
STYLE = "page.css"
SCRIPTS = ("charts.js", "table.js")


def report_page(
    summary: Summary,
    charts: Sequence[Chart],
    table: FullTable,
    origin: Mapping[str, Table],
    about: str,
) -> str:
    """Fill the report's template.

    Args:
        summary: What the study came to.
        charts: The figures, in order.
        table: All cells.
        origin: What made the results, by heading.
        about: The study in one line.
    """
    drawings = {c.name: [view.drawing() for view in c.views] for c in charts}
    counts = _verdicts(summary)
    return _render(
        "report.html",
        summary=summary,
        charts=charts,
        table=table,
        origin=origin,
        about=about,
        counts=counts,
        baseline=_baseline(summary),
        failures=_failures(summary),
        drawings=drawings,
        exchange=exchange(),
        plotly=Markup(get_plotlyjs()),
        scripts=[Markup(_read(name)) for name in SCRIPTS],
    )


def costs_page(summary: Summary, tables: Mapping[str, Table], about: str) -> str:
    """Fill the template of what the results took."""
    return _render("costs.html", summary=summary, tables=tables, about=about)


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
    """Say what a constant answer would measure; empty where the task has none."""
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
