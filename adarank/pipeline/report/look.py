"""How each strategy of a study looks: one colour and one mark, the same in every figure."""

from collections.abc import Mapping
from dataclasses import dataclass

from adarank.pipeline.artifacts.summary import Summary
from adarank.pipeline.report.palette import INK, colour, symbol


@dataclass(frozen=True)
class Look:
    """A strategy's colour and mark, by plotly's names."""

    colour: str
    symbol: str


def looks(summary: Summary) -> Mapping[str, Look]:
    """Give every strategy its look; the reference is a disc in the ink's colour."""
    names = dict.fromkeys(cell.strategy for cell in summary.cells.values())
    others = [name for name in names if name != summary.reference]
    found = {name: Look(colour(i), symbol(i)) for i, name in enumerate(others)}
    return {summary.reference: Look(INK.light, "circle"), **found}
