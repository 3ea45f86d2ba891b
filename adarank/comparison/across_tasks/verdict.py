"""What a comparison across tasks shows, in words."""

from collections.abc import Sequence

from adarank.comparison.across_tasks.comparing import AcrossTasks
from adarank.comparison.across_tasks.gains import MeanGain
from adarank.comparison.verdict import LEVEL, Verdict
from adarank.comparison.wording import listed, probability


def across_verdict(found: AcrossTasks) -> Verdict:
    """Decide what a comparison across tasks shows: the corrected p of its t test."""
    if found.family is None:
        return "not tested"
    if found.missing or found.mean is None:
        return "not comparable"
    if found.t_p_holm is None or found.t_p_holm > LEVEL:
        return "not distinguishable"
    return "better" if found.mean.gain > 0 else "worse"


def across_sentence(found: AcrossTasks) -> str:
    """Describe a comparison across tasks in full."""
    word = across_verdict(found)
    lead = {
        "not distinguishable": f"{found.cell} is not distinguishable from {found.against}",
        "not comparable": f"{found.cell} is not comparable with {found.against}",
        "not tested": f"{found.cell} is a control, shown beside {found.against} and not tested",
    }.get(word, f"{found.cell} is {word} than {found.against}")
    if found.mean is None:
        return f"{lead} across tasks: {listed(found.missing)}."
    parts = [f"{lead} on average over {len(found.tasks)} tasks: {_numbers(found, found.mean)}."]
    if found.missing:
        parts.append(f"Missing: {listed(found.missing)}.")
    if word == "not distinguishable" and found.detectable is not None:
        among = " after the correction" if found.family_size > 1 else ""
        size = _size(found, found.detectable)
        parts.append(f"A true gain of {size} would be found with 80 % power{among}.")
    if found.left_out:
        parts.append(f"Not averaged, having another unit: {listed(found.left_out)}.")
    return " ".join(parts)


def across_study(found: Sequence[AcrossTasks], reference: str) -> str:
    """Sum up a study's comparisons across tasks in a sentence; empty where there are none."""
    primary = [one for one in found if one.family == "primary"]
    if not primary:
        return ""
    words = ("better", "worse", "not comparable")
    of = {word: [o for o in primary if across_verdict(o) == word] for word in words}
    texts = [
        f"{word} than {reference}: "
        + listed([f"{one.cell} ({_size(one, one.mean.gain, '+')})" for one in of[word] if one.mean])
        for word in ("better", "worse")
        if of[word]
    ]
    if not any(of.values()):
        texts = [f"nothing is distinguishable from {reference}{_power(primary)}"]
    elif not texts:
        texts = [f"nothing is shown to be distinguishable from {reference}"]
    if of["not comparable"]:
        texts.append(f"not comparable: {listed([one.cell for one in of['not comparable']])}")
    tasks, correction = len(primary[0].tasks), ", Holm-corrected" if len(primary) > 1 else ""
    size = f"{len(primary)} comparison{'' if len(primary) == 1 else 's'}{correction}"
    lead = f"On average over {tasks} tasks ({size}): {'; '.join(texts)}."
    return " ".join([lead, *_controls(found)])


def _power(primary: Sequence[AcrossTasks]) -> str:
    least = [(one.detectable, one) for one in primary if one.detectable is not None]
    if not least:
        return ""
    sizes = sorted({_digits(one, size, "") for size, one in least}, key=float)
    ends = " to ".join(dict.fromkeys([sizes[0], sizes[-1]]))
    return f"; a true gain of {ends} {primary[0].unit} would be found with 80 % power"


def _controls(found: Sequence[AcrossTasks]) -> list[str]:
    tested = [one for one in found if one.family == "secondary" and not one.missing]
    if not tested:
        return []
    beats = {one: across_verdict(one) == "better" for one in tested}
    texts = [
        f"{one.cell} {'beats' if won else 'does not beat'} {one.against}"
        for one, won in beats.items()
    ]
    size = f"{len(tested)} comparison{'' if len(tested) == 1 else 's'}"
    return [f"Against the controls ({size}, corrected separately): {listed(texts)}."]


def _numbers(found: AcrossTasks, mean: MeanGain) -> str:
    each = ", ".join(f"{one.task} {_digits(found, one.gain)}" for one in found.tasks)
    text = f"gain {_size(found, mean.gain, '+')}"
    if mean.low is None or mean.high is None:
        return f"{text} ({each}; one seed gives no estimate of the variance)"
    text += f" (95 % interval {_digits(found, mean.low)} to {_digits(found, mean.high)}; {each}"
    if found.family is None:
        return f"{text})"
    text += f"; p {probability(mean.t_p)} by t over seeds within tasks"
    if found.family_size > 1:
        text += f", {probability(found.t_p_holm)} corrected for {found.family_size} comparisons"
    return f"{text})"


def _size(found: AcrossTasks, gain: float, sign: str = "") -> str:
    return f"{_digits(found, gain, sign)} {found.unit}"


def _digits(found: AcrossTasks, gain: float, sign: str = "+") -> str:
    return f"{gain:{sign}.2f}" if found.unit == "points" else f"{gain:{sign}.4f}"
