"""What a whole study shows, the disappointments first."""

from collections.abc import Sequence

from adarank.allocation.strategies.controls import original
from adarank.comparison.cells import Comparison
from adarank.comparison.verdict import Verdict, verdict
from adarank.comparison.wording import amount, digits, listed, number


def study_verdict(found: Sequence[Comparison], seeds: Sequence[int], reference: str) -> str:
    """Sum up a study's comparisons in a few sentences, negative results first.

    Args:
        found: All of its comparisons.
        seeds: The seeds that every cell should have been trained with.
        reference: The strategy that all others are compared with.
    """
    if not found:
        return f"Nothing is compared with {reference}: no other cell shares a budget with it."
    size = f"{_count(len(found), 'comparison')}, {_count(len(seeds), 'seed')}"
    if len(seeds) == 1:
        return f"Nothing can be told from {reference}: {size}, and one seed tells no spread."
    told = [_lead(found, reference, size), *_failures(found), *_worse(found, reference)]
    return " ".join([*told, *_control_gains(found, reference), *_better(found, reference)])


def _lead(found: Sequence[Comparison], reference: str, size: str) -> str:
    """Say first how much came to nothing, and how small a difference would have been seen."""
    words = [verdict(one) for one in found if one.pair.role == "reference"]
    same, n = words.count("not distinguishable"), len(words)
    corrected = f"{size}, Holm-corrected{_power(found)}"
    if same == n:
        return f"Nothing is distinguishable from {reference}: {corrected}."
    if "better" not in words and "worse" not in words:
        part = f"{same} of {n} cells are not, the others not comparable"
        return f"Nothing is shown to be distinguishable from {reference} ({part}): {corrected}."
    rest = "" if _pick(found, "better") else f"Nothing is better than {reference}. "
    if same == 0 and "not comparable" not in words:
        return f"{rest}Every cell is distinguishable from {reference}: {size}, Holm-corrected."
    return f"{rest}{same} of {n} cells are not distinguishable from {reference}: {corrected}."


def _power(found: Sequence[Comparison]) -> str:
    least = [
        one.detectable
        for one in found
        if one.pair.role == "reference" and one.detectable is not None
    ]
    if not least:
        return ""
    metric, low, high = found[0].metric, min(least), max(least)
    ends = [] if digits(metric, low) == digits(metric, high) else [digits(metric, low)]
    seen = " to ".join([*ends, number(metric, high)])
    return f"; a true difference of {seen} would be found with 80 % power"


def _failures(found: Sequence[Comparison]) -> list[str]:
    broken = [one for one in found if verdict(one) == "not comparable"]
    if not broken:
        return []
    faults = list(dict.fromkeys(fault for one in broken for fault in one.unfinished))
    return [f"Not comparable: {_count(len(broken), 'comparison')}, since {listed(faults)}."]


def _worse(found: Sequence[Comparison], reference: str) -> list[str]:
    worse = _pick(found, "worse")
    return [f"Worse than {reference}: {_each(worse)}."] if worse else []


def _control_gains(found: Sequence[Comparison], reference: str) -> list[str]:
    """Warn of controls that beat the reference: whatever helps there, no score does."""
    gains = [
        one
        for one in found
        if one.pair.role == "reference" and verdict(one) == "better" and _is_control(one)
    ]
    if not gains:
        return []
    are = "are controls" if len(gains) > 1 else "is a control"
    return [f"{_each(gains)} {are}, and better than {reference}: that is no success of the scores."]


def _better(found: Sequence[Comparison], reference: str) -> list[str]:
    better = _pick(found, "better")
    if not better:
        return []
    told = [f"Better than {reference}: {_each(better)}."]
    unbeaten = _unbeaten(found, {one.pair.cell["cell"] for one in better})
    if unbeaten:
        told.append(f"Of these, {listed(unbeaten)}.")
    return told


def _unbeaten(found: Sequence[Comparison], winners: set[str]) -> list[str]:
    return [
        f"{one.pair.cell['cell']} does not beat its own control {one.pair.against['cell']}"
        for one in found
        if one.pair.role == "control"
        and one.pair.cell["cell"] in winners
        and verdict(one) != "better"
    ]


def _pick(found: Sequence[Comparison], word: Verdict) -> list[Comparison]:
    """Take what came out so against the reference; a control's gain is no such thing."""
    return [
        one
        for one in found
        if one.pair.role == "reference"
        and verdict(one) == word
        and not (word == "better" and _is_control(one))
    ]


def _each(found: Sequence[Comparison]) -> str:
    return listed([f"{one.pair.cell['cell']} ({_told(one)})" for one in found])


def _told(one: Comparison) -> str:
    cell, against = one.pair.cell, one.pair.against
    told = amount(one.metric, one.difference or 0.0)
    share = cell["trainable_parameters"] / against["trainable_parameters"]
    return told if share == 1 else f"{told}, at {100 * share:.1f} % of the parameters"


def _is_control(one: Comparison) -> bool:
    return original(one.pair.cell["strategy"]) is not None


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"
