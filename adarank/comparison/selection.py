"""Which of a study's adapters to hand on: chosen on validation, among cells that cost the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what.

    Attributes:
        means: Validation's headline metric of each candidate, its mean over the seeds, by cell.
        passed_over: Why each other cell was no candidate.
        cell: The candidate that does best; None if there is none.
        seed: Its seed that does best; None likewise.
        value: What that seed measured on validation; None likewise.
    """

    means: dict[str, float] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    cell: str | None = None
    seed: int | None = None
    value: float | None = None


def select(cells: Sequence[Cell], *, reference: str) -> Selection:
    """Choose the cell whose validation mean is best, and of it the seed that is best.

    Candidates are LoRA cells that train exactly the parameters of the reference's cell at their
    budget, and all of whose seeds finished: a mean over survivors would be a better one for having
    lost some. Equal means go to the cell with fewer parameters, then to the earlier one. The test
    split has no part in it.

    Args:
        cells: Evaluation's records: cell, strategy, budget, tuner, better, trainable_parameters,
            seeds (rows with seed, split, headline) and, if any, failed.
        reference: The strategy whose parameters are those that a cell may have.
    """
    cost = {c["budget"]: c["trainable_parameters"] for c in cells if c["strategy"] == reference}
    why = {cell["cell"]: _objection(cell, cost.get(cell["budget"])) for cell in cells}
    candidates = [cell for cell in cells if why[cell["cell"]] is None]
    passed_over = {name: reason for name, reason in why.items() if reason is not None}
    if not candidates:
        return Selection(passed_over=passed_over)
    means = {c["cell"]: float(np.mean(list(_validation(c).values()))) for c in candidates}
    sign = -1 if candidates[0]["better"] == "higher" else 1
    best = min(candidates, key=lambda c: (sign * means[c["cell"]], c["trainable_parameters"]))
    seed, value = min(_validation(best).items(), key=lambda item: sign * item[1])
    return Selection(means, passed_over, best["cell"], seed, value)


def _objection(cell: Cell, cost: int | None) -> str | None:
    """Say why a cell is no candidate."""
    if cell["tuner"] != "lora":
        return f"{cell['tuner']} owns its training"
    if cell["trainable_parameters"] != cost:
        return f"{cell['trainable_parameters']} parameters, and the reference has {cost}"
    if cell.get("failed"):
        return f"failed seeds: {', '.join(str(one['seed']) for one in cell['failed'])}"
    values = _validation(cell).values()
    if not values or not all(np.isfinite(value) for value in values):
        return "its headline metric is undefined on validation"
    return None


def _validation(cell: Cell) -> dict[int, float]:
    rows = [row for row in cell["seeds"] or [] if row["split"] == "validation"]
    return {row["seed"]: np.nan if row["headline"] is None else row["headline"] for row in rows}
