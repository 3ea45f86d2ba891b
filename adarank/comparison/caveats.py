"""What weakens a comparison of cells, as sentences that every page can show."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from adarank.comparison.pairs import Controls
from adarank.comparison.records import Cell, errors_by_seed, values_by_seed
from adarank.comparison.wording import listed

Kind = Literal[
    "missing_seeds",
    "one_answer",
    "unequal_parameters",
    "no_reference",
    "one_seed",
    "about_plan",
    "no_controls",
    "rate_not_tuned",
    "rate_at_end",
    "ratio_at_end",
    "project_data",
    "label_noise",
    "cut_rows",
    "shared_texts",
    "rows_unknown",
]


@dataclass(frozen=True)
class Caveat:
    """One thing that makes a comparison weaker than it looks.

    Attributes:
        kind: Which one it is, for programs.
        text: The whole of it in a sentence, for readers.
    """

    kind: Kind
    text: str


@dataclass(frozen=True)
class Circumstances:
    """What the cells' records do not say of a study.

    Attributes:
        controls: Which strategies are controls, and of what.
        same_ranks: Strategies with the ranks of the reference or of uniform, trained otherwise.
        project_data: Whether the data were made by this project.
        label_noise: How many labels are wrong on purpose, a sentence a split.
        cut_rows: How many rows were cut to the longest text allowed, a sentence a split.
        shared_texts: How many texts the splits share, a sentence each.
    """

    controls: Controls = field(default_factory=dict)
    same_ranks: frozenset[str] = frozenset()
    project_data: bool = False
    label_noise: Sequence[str] = ()
    cut_rows: Sequence[str] = ()
    shared_texts: Sequence[str] = ()


def caveats(
    cells: Sequence[Cell],
    seeds: Sequence[int],
    *,
    reference: str,
    circumstances: Circumstances | None = None,
) -> list[Caveat]:
    """List what makes a comparison weaker than it looks; empty where nothing does.

    Args:
        cells: As for `cells.compare`.
        seeds: The seeds that every cell should have been trained with.
        reference: As for `cells.compare`.
        circumstances: What else is known of the study.
    """
    known = circumstances or Circumstances()
    found = [caveat for cell in cells for caveat in _missing_seeds(cell, seeds)]
    found += _one_answer(cells)
    for budget in dict.fromkeys(cell["budget"] for cell in cells):
        found += _unequal(budget, [c for c in cells if c["budget"] == budget], reference)
    found += [
        Caveat("about_plan", f"{cell['cell']}: {cell['note']}")
        for cell in cells
        if cell.get("note")
    ]
    if len(seeds) == 1:
        text = "One seed gives no estimate of the variance, so there are no intervals and no tests."
        found.append(Caveat("one_seed", text))
    found += _controls(cells, {reference, "uniform"} | known.same_ranks, known.controls)
    found += _rates(cells)
    if known.project_data:
        text = "The data set was made by this project; results on it say little about other data."
        found.append(Caveat("project_data", text))
    found += [Caveat("label_noise", f"{text}.") for text in known.label_noise]
    found += [Caveat("cut_rows", f"{text}.") for text in known.cut_rows]
    return found + [Caveat("shared_texts", f"{text}.") for text in known.shared_texts]


def costs(cells: Sequence[Cell], *, reference: str) -> list[str]:
    """Describe what each cell trains whose size is not set by the budget.

    Tuners that change ranks while training end at a size of their own, and literal ranks cost
    what they cost. Neither is a fault of the comparison, but a reader must know of both.

    Args:
        cells: As for `cells.compare`; those with another tuner than `lora`, or with literal
            ranks, are described.
        reference: As for `cells.compare`.
    """
    references = {cell["budget"]: cell for cell in cells if cell["strategy"] == reference}
    return [_cost(c, references.get(c["budget"])) for c in cells if _sets_its_cost(c)]


def _cost(cell: Cell, reference: Cell | None) -> str:
    trained, peak = cell["trainable_parameters"], cell["peak_parameters"]
    text = f"{cell['cell']} trains {trained:,} parameters"
    if reference is not None:
        share = 100 * trained / reference["trainable_parameters"]
        text += f", {share:.1f} % of {reference['strategy']}'s"
    if peak != trained:
        text += f"; {peak:,} at its peak"
    return text + (f", {cell['mean_parameters']:,} on average" if "mean_parameters" in cell else "")


def _sets_its_cost(cell: Cell) -> bool:
    return cell["tuner"] != "lora" or cell["strategy"].startswith("literal_")


def _missing_seeds(cell: Cell, seeds: Sequence[int]) -> list[Caveat]:
    present, errors = {row["seed"] for row in cell["seeds"]}, errors_by_seed(cell)
    missing = [seed for seed in seeds if seed not in present]
    if not missing:
        return []
    names = ", ".join(map(str, missing))
    failed = "".join(f"; seed {seed} FAILED: {errors[seed]}" for seed in missing if seed in errors)
    n, left = len(seeds), len(seeds) - len(missing)
    rest = f"its mean and its pairs rest on {left} of {n} seeds" if left else "it has no result"
    return [Caveat("missing_seeds", f"{cell['cell']} lacks seed {names}: {rest}{failed}.")]


def _one_answer(cells: Sequence[Cell]) -> list[Caveat]:
    """Name the seeds whose classifier gives every test row the same class.

    Matthews' coefficient is 0 exactly then. Such a run has learned nothing, most often at a rate
    that other seeds just stand, and a mean over seeds hides it.
    """
    named: list[str] = []
    for cell in cells:
        fallen = [
            str(s) for s, value in values_by_seed(cell, "test", "matthews").items() if not value
        ]
        if fallen:
            seeds = f"seed{'s' * (len(fallen) > 1)} {', '.join(fallen)}"
            named.append(f"{cell['cell']} ({seeds})")
    if not named:
        return []
    text = f"Every test row gets the same class from {listed(named)}: these runs have learned "
    advice = "nothing. A lower rate, or several seeds of finetune.tuning_seed, may avoid it."
    return [Caveat("one_answer", text + advice)]


def _unequal(budget: float, cells: Sequence[Cell], reference: str) -> list[Caveat]:
    found: list[Caveat] = []
    counts = {c["cell"]: c["trainable_parameters"] for c in cells if not _sets_its_cost(c)}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        units = {c.get("unit", "parameters") for c in cells if c["cell"] in counts}
        text = f"Budget {budget:g}: NOT EQUAL trainable parameters, so no fair test ({each})."
        if len(units) == 1 and "parameters" not in units:
            text = f"Budget {budget:g} is paid in {units.pop()}: UNEQUAL in parameters ({each})."
        found.append(Caveat("unequal_parameters", text))
    if all(cell["strategy"] != reference for cell in cells):
        text = f"Budget {budget:g} has no {reference} cell: no differences are taken there."
        found.append(Caveat("no_reference", text))
    return found


def _controls(cells: Sequence[Cell], exempt: Set[str], controls: Controls) -> list[Caveat]:
    """Name the strategies without a control: their gain may come from unequal ranks alone."""
    tested = {cell["strategy"] for cell in cells if cell["tuner"] == "lora"} - controls.keys()
    controlled = {control.of for control in controls.values()}
    without = [name for name in dict.fromkeys(c["strategy"] for c in cells) if name in tested]
    without = [name for name in without if name not in controlled | exempt]
    if not without:
        return []
    text = f"No control in the study for {listed(without)}: a difference may come from unequal "
    return [Caveat("no_controls", text + "ranks as such, and not from the scores.")]


def _rates(cells: Sequence[Cell]) -> list[Caveat]:
    """Point out rates and ratios that were not chosen, or chosen at the end of their list."""
    found: list[Caveat] = []
    if any(not cell.get("tuned") for cell in cells):
        text = "The learning rate was not tuned for every cell: a strategy may gain or lose only "
        found.append(Caveat("rate_not_tuned", text + "because the rate suits it."))
    found += _at_end(cells, "rate_at_end", "learning_rate", "learning rate")
    return found + _at_end(cells, "ratio_at_end", "rate_ratio", "ratio of B's rate to A's")


def _at_end(cells: Sequence[Cell], kind: Kind, key: str, name: str) -> list[Caveat]:
    """Point out the cells whose chosen value is the highest or lowest of several tried."""
    found: list[Caveat] = []
    for end, pick, other in (("highest", max, "higher"), ("lowest", min, "lower")):
        at_end = [
            cell["cell"]
            for cell in cells
            if len(tried := {t[key] for t in cell.get("tuned") or () if key in t}) > 1
            and cell.get(key, 1.0) == pick(tried)
        ]
        if at_end:
            text = f"The chosen {name} is the {end} of its list for {listed(at_end)}: "
            found.append(Caveat(kind, f"{text}a {other} one might do better."))
    return found
