"""What a comparison shows, in words that a reader can quote."""

from typing import Literal

from adarank.comparison.cells import Comparison
from adarank.comparison.records import Cell
from adarank.comparison.wording import amount, listed, number, probability, span

Verdict = Literal["better", "worse", "not distinguishable", "not comparable", "not tested"]

LEVEL = 0.05


def verdict(found: Comparison) -> Verdict:
    """Decide what a comparison shows: the paired t test's p, corrected for its family.

    No other test has a part in it, so that its level is known and its power grows with the
    seeds. A seed that failed may have been the one to decide, so without it the cells are not
    comparable. A control beside the reference is in no family and not tested.
    """
    if found.pair.family is None:
        return "not tested"
    if found.unfinished or found.gain is None:
        return "not comparable"
    if found.t_p_holm is None or found.t_p_holm > LEVEL:
        return "not distinguishable"
    return "better" if found.gain > 0 else "worse"


def sentence(found: Comparison) -> str:
    """Describe a comparison in full: the verdict, the numbers, and what they cannot say."""
    words = {
        "not comparable": _incomparable,
        "not distinguishable": _indistinguishable,
        "not tested": _untested,
    }
    text = words.get(verdict(found), _decided)(found)
    return " ".join([text, *_equivalence(found), *_parameters(found)])


def equivalent(found: Comparison) -> bool:
    """Whether the two are shown to be equivalent within the study's margin.

    By the two one-sided tests' p, corrected for its family. That a difference is not shown says
    nothing of the kind: few seeds show neither a difference nor that there is none.
    """
    if found.pair.family is None or found.unfinished or found.equivalence_p_holm is None:
        return False
    return found.equivalence_p_holm <= LEVEL


def rows_may_undo(found: Comparison) -> bool:
    """Whether the interval over rows and seeds holds zero."""
    return found.rows is not None and found.rows[0] <= 0 <= found.rows[1]


def _decided(found: Comparison) -> str:
    cell, against = found.pair.names
    word = verdict(found)
    if found.pair.control is not None:
        outcome = "beats its own" if word == "better" else "is worse than its own"
        lead = f"{cell} {outcome} {found.pair.control.form} control, {against}"
    else:
        lead = f"{cell} is {word} than {against}"
    parts = [f"{lead}: {_numbers(found)}.", *_other_rows(found)]
    if word == "worse" and found.pair.control is not None:
        parts.append(f"So {found.pair.control.ranks} do better: the scores do not help.")
    return " ".join(parts)


def _indistinguishable(found: Comparison) -> str:
    cell, against = found.pair.names
    control = found.pair.control
    if control is None:
        lead = f"{cell} is not distinguishable from {against}"
    else:
        lead = f"{cell} does not beat its own {control.form} control, {against}"
    parts = [f"{lead}: {_numbers(found)}.", *_power(found)]
    if control is not None:
        parts.append(f"As far as this shows, {control.ranks} do as well.")
    return " ".join(parts)


def _untested(found: Comparison) -> str:
    """Show a control beside the reference: a difference with its interval, and no test."""
    cell, against = found.pair.names
    control = found.pair.control
    assert control is not None
    what = f"{cell} is a control of {control.of}, {control.ranks}"
    if found.difference is None:
        return f"{what}; no pair of seeds with {against} finished."
    missing = f" Missing: {listed(found.unfinished)}." if found.unfinished else ""
    return f"{what}; it is shown beside {against} and not tested: {_measured(found)}.{missing}"


def _incomparable(found: Comparison) -> str:
    cell, against = found.pair.names
    text = f"{cell} is not comparable with {against}: {listed(found.unfinished)}."
    if found.difference is None:
        return f"{text} No pair of seeds finished."
    return f"{text} Over the pairs that finished: {_numbers(found)}."


def _measured(found: Comparison) -> str:
    metric, difference = found.metric, found.difference or 0.0
    text = f"{metric} {amount(metric, difference)}"
    if found.n == 1:
        return f"{text} with one seed, which gives no estimate of the variance"
    interval = f"95 % interval {span(metric, found.low, found.high)} over {found.n} seeds"
    if found.rows is not None:
        interval += f", {span(metric, *found.rows)} over rows and seeds"
    return f"{text} ({interval})"


def _numbers(found: Comparison) -> str:
    text = _measured(found)
    if found.n == 1:
        return text
    return f"{text.removesuffix(')')}; {_tests(found)})"


def _tests(found: Comparison) -> str:
    """Write the test that decides, and the sign flips beside it."""
    # Where all differences are equal, t is undefined, and the flips' p is its p.
    by = "paired t" if found.sd else "sign flips, since all seeds differ by the same"
    text = f"p {probability(found.t_p)} by {by}"
    if found.family_size > 1:
        text += f", {probability(found.t_p_holm)} corrected for {found.family_size} comparisons"
    if not found.sd:
        return text
    flips = f"{text}; for comparison, p {probability(found.p)} by sign flips"
    if found.p == found.p_floor:
        flips += f", the smallest that {found.n} pairs can reach"
    return flips


def _other_rows(found: Comparison) -> list[str]:
    if not rows_may_undo(found):
        return []
    return ["This holds for these test rows; on others the difference could be zero."]


def _power(found: Comparison) -> list[str]:
    if found.detectable is None:
        return []
    least = number(found.metric, found.detectable)
    among = " after the correction" if found.family_size > 1 else ""
    return [f"A true difference of {least} would be found with 80 % power{among}."]


def _equivalence(found: Comparison) -> list[str]:
    if found.margin is None or found.equivalence_p_holm is None or found.unfinished:
        return []
    words = "Equivalent to" if equivalent(found) else "Not shown to be equivalent to"
    within = f"within {number(found.metric, found.margin)}"
    corrected = f", corrected for {found.family_size}" if found.family_size > 1 else ""
    p = f"p {probability(found.equivalence_p_holm)} by two one-sided t tests{corrected}"
    return [f"{words} {found.pair.against['cell']} {within}: {p}."]


def _parameters(found: Comparison) -> list[str]:
    cell, against = found.pair.cell, found.pair.against
    mine, other = cell["trainable_parameters"], against["trainable_parameters"]
    if mine == other:
        return _peak(cell, against)
    share = f"{100 * mine / other:.1f} % of {against['cell']}'s"
    unit = cell.get("unit")
    if unit is not None and unit == against.get("unit"):
        return [f"Of one budget in {unit}, unequal in parameters: it trains {mine:,}, {share}."]
    return [f"Not at equal cost: it trains {mine:,} parameters, {share}."]


def _peak(cell: Cell, against: Cell) -> list[str]:
    """Say where equal kept parameters are no equal compute."""
    mine, other = cell["peak_parameters"], against["peak_parameters"]
    if mine == other:
        return []
    kept = f"{cell['trainable_parameters']:,} parameters kept by both"
    on_average = cell.get("mean_parameters")
    mean = f" and {on_average:,} on average" if on_average else ""
    return [
        f"Equal in kept parameters, not in compute: of {kept}, {cell['cell']} trains {mine:,} at "
        f"its peak{mean}, {against['cell']} {other:,}."
    ]
