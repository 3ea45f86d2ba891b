"""The names of starts: how an adapter's factors begin, and which signal finds their directions."""

import re
from typing import Literal, cast

StartName = Literal["kaiming", "orthogonal", "inputs", "gradient"]
"""See adarank.tuning.starts."""

ABOUT: dict[StartName, str] = {
    "kaiming": "A random, as PEFT draws it",
    "orthogonal": "A random with orthogonal rows: the control of the next two",
    "inputs": "A's rows along the directions in which the module's inputs vary most",
    "gradient": "A's rows along the leading right singular vectors of the mean task gradient",
}

SIGNALS: dict[StartName, str] = {
    "inputs": "input_directions",
    "gradient": "gradient_directions",
}
"""What must have been scored; starts that are drawn need nothing."""

_START = re.compile(rf"({'|'.join(ABOUT)})_start_(.+)")
_RATE_RATIO = re.compile(r"rate_ratio_([1-9][0-9]{0,5})_(.+)")

BIAS_NORM = "bias_norm_"
"""Before a strategy: biases and norms are trained first, and ranks with what is left."""


def start_named(name: str) -> tuple[StartName, str] | None:
    """Read start and strategy from a strategy's name; None where it names no start.

    Example:
        >>> start_named("gradient_start_uniform"), start_named("gradient_spectrum")
        (('gradient', 'uniform'), None)
    """
    match = _START.fullmatch(name)
    if match is None:
        return None
    return cast("StartName", match.group(1)), match.group(2)


def rate_ratio_named(name: str) -> tuple[int, str] | None:
    """Read B's rate over A's and the strategy from a strategy's name; None where it has none.

    Example:
        >>> rate_ratio_named("rate_ratio_8_uniform"), rate_ratio_named("uniform")
        ((8, 'uniform'), None)
    """
    match = _RATE_RATIO.fullmatch(name)
    return (int(match.group(1)), match.group(2)) if match else None


def bias_norm_named(name: str) -> tuple[str, str] | None:
    """Read the strategy from a name that begins with `bias_norm_`; None from any other.

    Example:
        >>> bias_norm_named("bias_norm_uniform")
        ('bias_norm_', 'uniform')
    """
    rest = name.removeprefix(BIAS_NORM)
    return (BIAS_NORM, rest) if rest and rest != name else None


def split_training(name: str) -> tuple[str, str]:
    """Split a strategy's name into what changes its training alone, and what decides its ranks.

    Example:
        >>> split_training("rate_ratio_8_gradient_start_permuted_fisher")
        ('rate_ratio_8_gradient_start_', 'permuted_fisher')
        >>> split_training("uniform")
        ('', 'uniform')
    """
    found = start_named(name) or rate_ratio_named(name) or bias_norm_named(name)
    if found is None:
        return "", name
    prefix, rest = split_training(found[1])
    return name.removesuffix(found[1]) + prefix, rest
