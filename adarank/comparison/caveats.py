"""What weakens a comparison of cells, and what cells cost that is their own affair."""

from collections.abc import Mapping, Sequence
from typing import Any

Cell = Mapping[str, Any]


def caveats(cells: Sequence[Cell], seeds: Sequence[int], *, reference: str) -> list[str]:
    """Say what makes a comparison weaker than it looks; empty when nothing does.

    Args:
        cells: As for `comparison.compare`.
        seeds: The seeds that every cell should have been trained with.
        reference: As for `comparison.compare`.
    """
    found = [note for cell in cells for note in _missing_seeds(cell, seeds)]
    for budget in dict.fromkeys(cell["budget"] for cell in cells):
        found += _unfair(budget, [c for c in cells if c["budget"] == budget], reference)
    found += [f"{cell['cell']}: {cell['note']}" for cell in cells if cell.get("note")]
    if len(seeds) == 1:
        found.append("one seed: nothing is known of the spread, so there are no intervals")
    return found


def costs(cells: Sequence[Cell], *, reference: str) -> list[str]:
    """Say what each cell trains whose cost is its own affair, not the budget's.

    Peers that own their training end at parameters of their own, and ranks given literally cost
    what they cost; neither is a fault of the comparison, but both must be known.

    Args:
        cells: As for `comparison.compare`; those with another tuner than `lora`, or literal
            ranks, are told.
        reference: As for `comparison.compare`.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    return [_cost(c, references.get(c["budget"])) for c in cells if _owns_its_cost(c)]


def unfinished(cell: Cell, seeds: Sequence[int], metric: str) -> list[str]:
    """Say of each planned seed that has no test value of a metric why it has none.

    Args:
        cell: A cell's record; its `failed`, if there, lists {seed, error}.
        seeds: The seeds that it should have been trained with.
        metric: The metric that is missed.
    """
    errors = _errors(cell)
    measured = {
        row["seed"]
        for row in cell["seeds"]
        if row["split"] == "test" and row.get(metric) is not None
    }
    return [
        f"seed {seed} failed ({errors[seed]})" if seed in errors else f"seed {seed} has no {metric}"
        for seed in seeds
        if seed not in measured
    ]


def _errors(cell: Cell) -> dict[int, str]:
    return {one["seed"]: one["error"] for one in cell.get("failed", ())}


def _cost(cell: Cell, reference: Cell | None) -> str:
    trained, peak = cell["trainable_parameters"], cell["peak_parameters"]
    told = f"{cell['cell']} trains {trained:,} parameters"
    if reference is not None:
        share = 100 * trained / reference["trainable_parameters"]
        told += f", {share:.1f} % of {reference['strategy']}'s"
    return told + (f"; {peak:,} at its peak" if peak != trained else "")


def _owns_its_cost(cell: Cell) -> bool:
    return cell["tuner"] != "lora" or cell["strategy"].startswith("literal_")


def _missing_seeds(cell: Cell, seeds: Sequence[int]) -> list[str]:
    present, errors = {row["seed"] for row in cell["seeds"]}, _errors(cell)
    missing = [seed for seed in seeds if seed not in present]
    if not missing:
        return []
    names = ", ".join(map(str, missing))
    failed = "".join(f"; seed {seed} FAILED: {errors[seed]}" for seed in missing if seed in errors)
    n, left = len(seeds), len(seeds) - len(missing)
    rest = f"its mean and its pairs rest on {left} of {n} seeds" if left else "it has no result"
    return [f"{cell['cell']} lacks seed {names}: {rest}{failed}"]


def _unfair(budget: float, cells: Sequence[Cell], reference: str) -> list[str]:
    found: list[str] = []
    counts = {c["cell"]: c["trainable_parameters"] for c in cells if not _owns_its_cost(c)}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        found.append(f"budget {budget:g}: NOT EQUAL trainable parameters, so not a test ({each})")
    if all(cell["strategy"] != reference for cell in cells):
        found.append(f"budget {budget:g} has no {reference} cell: no differences are taken there")
    return found
