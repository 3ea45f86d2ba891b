"""How each strategy of a study looks: one colour and one mark, the same in every figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adarank.pipeline.artifacts.summary import Summary
from adarank.pipeline.report.palette import INK, colour, symbol


@dataclass(frozen=True)
class Look:
    """A strategy's colour and mark, by plotly's names."""

    colour: str
    symbol: str


def looks(summary: Summary) -> Mapping[str, Look]:
    """Return every strategy's look; the reference is a disc in the text's colour."""
    names = dict.fromkeys(cell.strategy for cell in summary.cells.values())
    others = [name for name in names if name != summary.reference]
    found = {name: Look(colour(i), symbol(i)) for i, name in enumerate(others)}
    return {summary.reference: Look(INK.light, "circle"), **found}


def shown_first(summary: Summary, labels: Sequence[str]) -> int:
    """Return the place of the first cell that is neither the reference's nor a control; else 0."""
    for place, label in enumerate(labels):
        compared = summary.against_reference(label)
        if compared is not None and compared.family is not None:
            return place
    return 0
