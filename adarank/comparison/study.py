"""What a whole study shows, negative results first."""

from collections.abc import Sequence

from adarank.comparison.baseline import BaselineCheck
from adarank.comparison.cells import Comparison
from adarank.comparison.verdict import Verdict, equivalent, rows_may_undo, verdict
from adarank.comparison.wording import amount, digits, is_share, listed, number


def study_verdict(
    found: Sequence[Comparison],
    seeds: Sequence[int],
    reference: str,
    baseline: BaselineCheck | None = None,
) -> str:
    """Sum up a study's comparisons in a few sentences, negative results first.

    Args:
        found: All of its comparisons, corrected.
        seeds: The seeds that every cell should have been trained with.
        reference: The strategy that all others are compared with.
        baseline: Which cells beat a constant answer, where that is known.
    """
    first = [text for text in [baseline_sentence(baseline)] if text]
    primary = [one for one in found if one.pair.family == "primary"]
    if not primary:
        what = "is tested against" if found else "is compared with"
        because = "" if found else ": no other cell shares a budget with it"
        return " ".join([*first, f"Nothing {what} {reference}{because}.", *_controls(found)])
    size = f"{_count(len(primary), 'comparison')}, {_count(len(seeds), 'seed')}"
    if len(seeds) == 1:
        text = f"Nothing can be concluded about {reference}: {size}, and one seed gives no "
        return " ".join([*first, text + "estimate of the variance."])
    lead = _lead(primary, reference, size)
    sentences = [*first, lead, *_failures(found), *_worse(primary, reference)]
    sentences += [*_better(primary, reference), *_equivalent(primary, reference)]
    return " ".join([*sentences, *_controls(found)])


def baseline_sentence(check: BaselineCheck | None) -> str:
    """Describe which cells do not beat a constant answer; empty where all do or nothing is known.

    Args:
        check: The outcome of `baseline.check_baseline`.
    """
    if check is None or not check.not_beaten_by:
        return ""
    percent = " %" if is_share(check.metric) else ""
    least = f"{check.metric} {digits(check.metric, check.value)}{percent}"
    if check.nothing_learned:
        return (
            f"No cell beats answering {check.answer} ({least}): nothing was learned, and the "
            "comparisons say nothing about the strategies."
        )
    do = "does" if len(check.not_beaten_by) == 1 else "do"
    return f"{listed(check.not_beaten_by)} {do} not beat answering {check.answer} ({least})."


def _lead(primary: Sequence[Comparison], reference: str, size: str) -> str:
    """Describe how many comparisons show nothing, and what difference would have been found."""
    words = [verdict(one) for one in primary]
    same, n = words.count("not distinguishable"), len(words)
    test = f"{size}, paired t test{_correction(n)}"
    if same == n:
        return f"Nothing is distinguishable from {reference}: {test}{_power(primary)}."
    if "better" not in words and "worse" not in words:
        part = f"{same} of {n} cells are not, the others not comparable"
        start = f"Nothing is shown to be distinguishable from {reference} ({part})"
        return f"{start}: {test}{_power(primary)}."
    rest = "" if "better" in words else f"Nothing is better than {reference}. "
    if same == 0 and "not comparable" not in words:
        return f"{rest}Every cell is distinguishable from {reference}: {test}."
    start = f"{rest}{same} of {n} cells are not distinguishable from {reference}"
    return f"{start}: {test}{_power(primary)}."


def _correction(n: int) -> str:
    return " with Holm's correction" if n > 1 else ""


def _power(primary: Sequence[Comparison]) -> str:
    least = [one.detectable for one in primary if one.detectable is not None]
    if not least:
        return ""
    metric, low, high = primary[0].metric, min(least), max(least)
    ends = [] if digits(metric, low) == digits(metric, high) else [digits(metric, low)]
    size = " to ".join([*ends, number(metric, high)])
    after = " after the correction" if len(primary) > 1 else ""
    return f"; a true difference of {size} would be found with 80 % power{after}"


def _failures(found: Sequence[Comparison]) -> list[str]:
    broken = [one for one in found if verdict(one) == "not comparable"]
    if not broken:
        return []
    faults = list(dict.fromkeys(fault for one in broken for fault in one.unfinished))
    return [f"Not comparable: {_count(len(broken), 'comparison')}, since {listed(faults)}."]


def _worse(primary: Sequence[Comparison], reference: str) -> list[str]:
    worse = _with_verdict(primary, "worse")
    return [f"Worse than {reference}: {_each(worse)}."] if worse else []


def _better(primary: Sequence[Comparison], reference: str) -> list[str]:
    better = _with_verdict(primary, "better")
    if not better:
        return []
    unsure = [one.pair.cell["cell"] for one in better if rows_may_undo(one)]
    text = f"Better than {reference}: {_each(better)}."
    if not unsure:
        return [text]
    return [text, f"On other test rows the difference of {listed(unsure)} could be zero."]


def _equivalent(primary: Sequence[Comparison], reference: str) -> list[str]:
    """Name the cells that are equivalent to the reference within the margin, where one is set."""
    tested = [one for one in primary if one.margin is not None]
    if not tested:
        return []
    within = f"within {number(tested[0].metric, tested[0].margin or 0.0)}"
    same = [one.pair.cell["cell"] for one in tested if equivalent(one)]
    if not same:
        return [f"Nothing is shown to be equivalent to {reference} {within}."]
    return [f"Equivalent to {reference} {within}: {listed(same)}."]


def _controls(found: Sequence[Comparison]) -> list[str]:
    """Sum up the second family; a strategy that its control equals owes nothing to its scores."""
    tested = [one for one in found if one.pair.family == "secondary"]
    words = [verdict(one) for one in tested]
    if not tested or set(words) == {"not comparable"}:
        return []
    size = f"{_count(len(tested), 'comparison')}, corrected separately"
    won = [f"{a} beats {b}" for a, b in (one.pair.names for one in _with_verdict(tested, "better"))]
    lost = _with_verdict(tested, "not distinguishable") + _with_verdict(tested, "worse")
    not_won = [f"{a} does not beat {b}" for a, b in (one.pair.names for one in lost)]
    return [f"Against the controls ({size}): {listed([*not_won, *won])}."]


def _with_verdict(some: Sequence[Comparison], word: Verdict) -> list[Comparison]:
    return [one for one in some if verdict(one) == word]


def _each(some: Sequence[Comparison]) -> str:
    return listed([f"{one.pair.cell['cell']} ({_amount(one)})" for one in some])


def _amount(one: Comparison) -> str:
    cell, against = one.pair.cell, one.pair.against
    text = amount(one.metric, one.difference or 0.0)
    share = cell["trainable_parameters"] / against["trainable_parameters"]
    return text if share == 1 else f"{text}, at {100 * share:.1f} % of the parameters"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"
