"""Which cells are compared, and to which family of tests each comparison belongs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from adarank.comparison.records import Cell

Role = Literal["reference", "control"]
Family = Literal["primary", "secondary"]


@dataclass(frozen=True)
class Control:
    """What makes a strategy a control: its ranks ignore or reverse another strategy's scores.

    Attributes:
        of: The strategy whose scores it tests.
        form: What it does to them: permuted or reversed.
        ranks: Its ranks in words, such as `ranks in the opposite order`.
    """

    of: str
    form: str
    ranks: str


Controls = Mapping[str, Control]
"""The controls of a study by strategy name."""


@dataclass(frozen=True)
class Pair:
    """Two cells of one budget to compare.

    Attributes:
        cell: The cell whose difference is taken.
        against: The cell that is subtracted.
        role: Whether `against` is the study's reference or the cell's own control.
        control: The control of the two, where there is one: `against` in a comparison with a
            control, `cell` where a control stands beside the reference.
    """

    cell: Cell
    against: Cell
    role: Role
    control: Control | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The cells' names."""
        return self.cell["cell"], self.against["cell"]

    @property
    def family(self) -> Family | None:
        """The family of tests: strategies against the reference first, own controls second.

        A control against the reference is no hypothesis of a study: it belongs to no family, and
        its difference is shown without a test.
        """
        if self.role == "control":
            return "secondary"
        return "primary" if self.control is None else None


def pairs(cells: Sequence[Cell], *, reference: str, controls: Controls) -> list[Pair]:
    """Pair each cell with the reference of its budget, and each strategy with its own controls.

    Args:
        cells: Records with `cell`, `strategy` and `budget`.
        reference: The strategy that all others are compared with, at each budget.
        controls: Which strategies are controls, and of what.

    Returns:
        The pairs with the reference in the order of the cells, then those with controls.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    with_reference = [
        Pair(cell, references[cell["budget"]], "reference", controls.get(cell["strategy"]))
        for cell in cells
        if cell["strategy"] != reference and cell["budget"] in references
    ]
    with_controls = [
        Pair(cell, against, "control", control)
        for cell in cells
        for against in cells
        if cell["budget"] == against["budget"]
        and (control := controls.get(against["strategy"])) is not None
        and control.of == cell["strategy"]
    ]
    return with_reference + with_controls
