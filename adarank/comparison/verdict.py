"""What a comparison shows, in words that a reader can quote."""

from typing import Literal

from adarank.allocation.strategies.controls import form, meaning, original
from adarank.comparison.cells import Comparison
from adarank.comparison.wording import amount, listed, number, probability, span

Verdict = Literal["better", "worse", "not distinguishable", "not comparable"]

LEVEL = 0.05


def verdict(found: Comparison) -> Verdict:
    """Say what a comparison shows: better or worse only if every test that can speak agrees.

    Those are Student's paired t and, where there is one, the bootstrap over rows and seeds; and
    the sign flips, where so many pairs can reach 5 % in so many comparisons. A seed that failed
    may have been the one to decide, so without it the cells are not comparable.
    """
    if found.unfinished or found.gain is None:
        return "not comparable"
    if not all(test <= LEVEL for test in _tests(found)) or _may_be_zero(found):
        return "not distinguishable"
    return "better" if found.gain > 0 else "worse"


def flips_can_speak(found: Comparison) -> bool:
    """Whether the sign flips could reach 5 % with these pairs and comparisons."""
    return found.p_floor is not None and found.family * found.p_floor <= LEVEL


def sentence(found: Comparison) -> str:
    """Tell a comparison in full: the verdict, the numbers, and what they cannot say."""
    said = {"not comparable": _incomparable, "not distinguishable": _indistinguishable}
    told = said.get(verdict(found), _decided)(found)
    return " ".join([told, *_parameters(found)])


def _tests(found: Comparison) -> list[float]:
    flips = [found.p_holm] if flips_can_speak(found) else []
    return [p for p in (found.t_p_holm, *flips) if p is not None]


def _may_be_zero(found: Comparison) -> bool:
    """Whether other rows and seeds could have shown nothing, or the opposite."""
    if found.rows is None or found.difference is None:
        return False
    low, high = found.rows
    return not (low > 0 if found.difference > 0 else high < 0)


def _decided(found: Comparison) -> str:
    cell, against = found.pair.names
    word = verdict(found)
    if found.pair.role == "control":
        beats = "beats its own" if word == "better" else "is worse than its own"
        lead = f"{cell} {beats} {form(found.pair.against['strategy'])} control, {against}"
    else:
        lead = f"{cell} is {word} than {against}"
    return " ".join([f"{lead}: {_numbers(found)}.", *_flips(found), *_control(found, word)])


def _indistinguishable(found: Comparison) -> str:
    cell, against = found.pair.names
    if found.pair.role == "control":
        lead = f"{cell} does not beat its own {form(found.pair.against['strategy'])} control"
        lead += f", {against}"
    else:
        lead = f"{cell} is not distinguishable from {against}"
    parts = [f"{lead}: {_numbers(found)}.", *_doubts(found), *_power(found), *_flips(found)]
    return " ".join([*parts, *_control(found, "not distinguishable")])


def _incomparable(found: Comparison) -> str:
    cell, against = found.pair.names
    told = f"{cell} is not comparable with {against}: {listed(found.unfinished)}."
    if found.difference is None:
        return f"{told} No pair of seeds finished."
    return f"{told} Over the pairs that finished: {_numbers(found)}."


def _numbers(found: Comparison) -> str:
    metric, difference = found.metric, found.difference or 0.0
    told = f"{metric} {amount(metric, difference)}"
    if found.n == 1:
        return f"{told} with one seed, which tells no spread"
    interval = f"95 % interval {span(metric, found.low, found.high)} over {found.n} seeds"
    if found.rows is not None:
        interval += f", {span(metric, *found.rows)} over rows and seeds"
    return f"{told} ({interval}; {_ps(found)})"


def _ps(found: Comparison) -> str:
    # Without a spread there is no t, and the flips' p stands in its place.
    by = "t" if found.detectable is not None else "sign flips, every seed being alike"
    told = f"p {probability(found.t_p)} by {by}, Holm-corrected {probability(found.t_p_holm)}"
    if not flips_can_speak(found):
        return told
    return f"{told}; {probability(found.p)} and {probability(found.p_holm)} by sign flips"


def _doubts(found: Comparison) -> list[str]:
    """Say which test stopped a verdict that Student's t alone would have given."""
    if found.t_p_holm is None or found.t_p_holm > LEVEL:
        return []
    doubts: list[str] = []
    if _may_be_zero(found):
        doubts.append("With other test rows and seeds the difference could be zero.")
    if flips_can_speak(found) and found.p_holm is not None and found.p_holm > LEVEL:
        doubts.append("The sign flips do not agree.")
    return doubts


def _power(found: Comparison) -> list[str]:
    if found.detectable is None:
        return []
    least = number(found.metric, found.detectable)
    return [f"A true difference of {least} would be found with 80 % power at 5 %, uncorrected."]


def _flips(found: Comparison) -> list[str]:
    if found.n == 1 or flips_can_speak(found):
        return []
    floor = probability(found.p_floor)
    among = f" among {found.family} comparisons" if found.family > 1 else ""
    return [f"Sign flips of {found.n} pairs give p {floor} at least, too much to speak{among}."]


def _control(found: Comparison, word: Verdict) -> list[str]:
    """Say what a comparison with a control, or of one, means for the strategy it is of."""
    if found.pair.role == "control":
        ranks = meaning(found.pair.against["strategy"])
        said = {
            "not distinguishable": f"As far as this shows, {ranks} do as well.",
            "worse": f"So {ranks} do better: the scores are no help.",
        }
        return [said[word]] if word in said else []
    strategy = found.pair.cell["strategy"]
    of = original(strategy)
    if of is None:
        return []
    told = f"It is a control, {meaning(strategy)}"
    if word == "better":
        return [f"{told}: what helps here is not {of}'s scores."]
    if of == found.pair.against["strategy"] and word != "worse":
        return [f"{told}: {of} does not beat it."]
    return [f"{told}."]


def _parameters(found: Comparison) -> list[str]:
    cell, against = found.pair.cell, found.pair.against
    mine, other = cell["trainable_parameters"], against["trainable_parameters"]
    if mine == other:
        return []
    share = f"{100 * mine / other:.1f} % of {against['cell']}'s"
    return [f"Not at equal cost: it trains {mine:,} parameters, {share}."]
