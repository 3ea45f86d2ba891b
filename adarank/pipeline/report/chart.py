"""A chart of the page: one view or several to choose from, each with its words and its table."""

import html
import json
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from adarank.pipeline.report.palette import GRID, INK, MUTED, RAISED, SURFACE

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Table:
    """The numbers of a view, in words.

    Attributes:
        head: The columns' names.
        rows: As many texts each.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class View:
    """One drawing.

    Attributes:
        label: What it is chosen by; empty for the only one.
        figure: The drawing, in light colours.
        alt: What it shows, with its numbers, for who does not see it.
        table: Its numbers.
        narrow: What of the layout is otherwise on a narrow screen.
    """

    label: str
    figure: go.Figure
    alt: str
    table: Table
    narrow: dict[str, Any] = field(default_factory=dict[str, Any])

    def drawing(self) -> dict[str, Any]:
        """The figure as plotly.js takes it, without the default template."""
        drawn = json.loads(str(self.figure.to_json()))
        drawn["layout"].pop("template", None)
        return {"data": drawn["data"], "layout": drawn["layout"], "narrow": self.narrow}


@dataclass(frozen=True)
class Chart:
    """A figure of the page.

    Attributes:
        name: Its id in the page.
        title: Its heading.
        about: How to read it, a sentence each.
        views: The drawings.
        choice: What is chosen between, where there are several.
        first: The place of the view that is shown first.
    """

    name: str
    title: str
    about: tuple[str, ...]
    views: tuple[View, ...]
    choice: str = ""
    first: int = 0


def plain(text: str) -> str:
    """Keep plotly from reading a text's angle brackets as its own markup."""
    return html.escape(text, quote=False)


def axis(title: str = "", **options: Any) -> dict[str, Any]:
    """Style an axis."""
    style: dict[str, Any] = {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "gridcolor": GRID.light,
        "linecolor": MUTED.light,
        "tickcolor": MUTED.light,
        "zeroline": False,
        "automargin": True,
    }
    return style | options


def layout(height: int, **options: Any) -> dict[str, Any]:
    """Style a figure of some height in pixels; the page gives it its width."""
    style: dict[str, Any] = {
        "template": "none",
        "height": height,
        "paper_bgcolor": SURFACE.light,
        "plot_bgcolor": SURFACE.light,
        "font": {"family": FONT, "size": 13, "color": INK.light},
        "margin": {"l": 10, "r": 16, "t": 16, "b": 10},
        "hoverlabel": {
            "bgcolor": RAISED.light,
            "bordercolor": MUTED.light,
            "align": "left",
            "font": {"family": FONT, "size": 13, "color": INK.light},
        },
        # Dragging must scroll the page on a phone.
        "dragmode": False,
    }
    return style | options


TWO_COLUMNS: dict[str, Any] = {
    "entrywidth": 0.5,
    "entrywidthmode": "fraction",
    "font": {"size": 11},
}
"""A legend of long names on a narrow screen."""


def legend_below() -> dict[str, Any]:
    """Lay the legend out in rows under the axes."""
    return {
        "orientation": "h",
        "yref": "paper",
        "y": -0.2,
        "yanchor": "top",
        "x": 0,
        "xanchor": "left",
        "itemwidth": 30,
        "font": {"size": 12},
    }
