"""Which of a study's adapters to hand on: chosen on validation, among cells that cost the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from adarank.comparison.baseline import beats
from adarank.comparison.records import Cell


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what.

    Attributes:
        means: Validation's headline metric of each candidate, its mean over the seeds, by cell.
        passed_over: Why each other cell was no candidate.
        cell: The candidate that does best; None if there is none.
        seed: Its seed that does best; None likewise.
        value: What that seed measured on validation; None likewise.
        baseline: What a constant answer measures on validation; None where unknown.
        beats_baseline: Whether that seed beats it; None where either is unknown.
    """

    means: dict[str, float] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    cell: str | None = None
    seed: int | None = None
    value: float | None = None
    baseline: float | None = None
    beats_baseline: bool | None = None


def select(cells: Sequence[Cell], *, reference: str, baseline: float | None = None) -> Selection:
    """Choose the cell whose validation mean is best, and of it the seed that is best.

    Candidates are LoRA cells that train exactly the parameters of the reference's cell at their
    budget (or share its budget in another unit), and all of whose seeds finished: a mean over
    survivors would be a better one for having lost some. Equal means go to the cell with fewer
    parameters, then to the earlier one. The test split has no part in it.

    Args:
        cells: Evaluation's records: cell, strategy, budget, tuner, better, trainable_parameters,
            seeds (rows with seed, split, headline) and, if any, failed.
        reference: The strategy whose parameters are those that a cell may have.
        baseline: The headline metric of a constant answer on validation, where it is known; an
            adapter that does not beat it is chosen all the same, and flagged.
    """
    references = {c["budget"]: c for c in cells if c["strategy"] == reference}
    why = {cell["cell"]: _objection(cell, references.get(cell["budget"])) for cell in cells}
    candidates = [cell for cell in cells if why[cell["cell"]] is None]
    passed_over = {name: reason for name, reason in why.items() if reason is not None}
    if not candidates:
        return Selection(passed_over=passed_over)
    means = {c["cell"]: float(np.mean(list(_validation(c).values()))) for c in candidates}
    sign = -1 if candidates[0]["better"] == "higher" else 1
    best = min(candidates, key=lambda c: (sign * means[c["cell"]], c["trainable_parameters"]))
    seed, value = min(_validation(best).items(), key=lambda item: sign * item[1])
    beaten = None if baseline is None else _beats(best, seed, baseline)
    return Selection(means, passed_over, best["cell"], seed, value, baseline, beaten)


def _objection(cell: Cell, reference: Cell | None) -> str | None:
    """Return the reason why a cell is no candidate; None if it is one."""
    if cell["tuner"] != "lora":
        return f"{cell['tuner']} does not train a plan of fixed ranks"
    cost = reference and reference["trainable_parameters"]
    unit = reference and reference.get("unit")  # of another than parameters: spent by the plan
    if cell["trainable_parameters"] != cost and (unit is None or cell.get("unit") != unit):
        return f"{cell['trainable_parameters']} parameters, and the reference has {cost}"
    if cell.get("failed"):
        return f"failed seeds: {', '.join(str(one['seed']) for one in cell['failed'])}"
    values = _validation(cell).values()
    if not values or not all(np.isfinite(value) for value in values):
        return "its headline metric is undefined on validation"
    return None


def _beats(cell: Cell, seed: int, baseline: float) -> bool:
    row = next(r for r in cell["seeds"] if (r["split"], r["seed"]) == ("validation", seed))
    better = cell["better"]
    return beats(row["headline"], baseline, metric=cell["headline"], better=better, n=row["n"])


def _validation(cell: Cell) -> dict[int, float]:
    rows = [row for row in cell["seeds"] or [] if row["split"] == "validation"]
    return {row["seed"]: np.nan if row["headline"] is None else row["headline"] for row in rows}
