"""One name a cell: the order of a strategy's prefixes."""

import re
from collections.abc import Collection

from adarank.allocation.starts import split_training
from adarank.errors import input_error


def canonical(name: str, forms: Collection[str]) -> str:
    """Order a strategy's prefixes: ratio of rates, start, bias_norm, controls, then priced.

    The order in a name changes nothing of the cell, so each cell has one name.

    Args:
        name: A strategy's name.
        forms: Prefixes that change the ranks, without their underscore.

    Example:
        >>> canonical("permuted_gradient_start_rate_ratio_8_fisher", ["permuted"])
        'rate_ratio_8_gradient_start_permuted_fisher'
    """
    training, rest = split_training(name)
    found: list[str] = []
    while (form := rest.partition("_"))[0] in forms and form[2]:
        found.append(form[0])
        more, rest = split_training(form[2])
        training += more
    parts = re.findall(r"rate_ratio_[0-9]+_|[a-z]+_start_|bias_norm_", training)
    order = ("rate_ratio_", "start_", "bias_norm_")
    # A control permutes or reverses what was priced: it is known by its first word.
    ranks = "".join(f"{one}_" for one in sorted(found, key="priced".__eq__))
    return "".join(p for kind in order for p in parts if kind in p) + ranks + rest


def check_prefixes(name: str, forms: Collection[str]) -> None:
    """Refuse a second name of the same cell, and two starts or two ratios.

    Args:
        name: A strategy's name.
        forms: As for `canonical`.

    Raises:
        InputError: Names the one that the cell has.
    """
    wanted = canonical(name, forms)
    if wanted != name:
        raise input_error(
            "a strategy's prefixes in another order than its name has",
            where="strategy",
            got=name,
            expected=f"{wanted}: rate_ratio_K_, a start, bias_norm_, then {', '.join(forms)}",
            remedy=f"write {wanted}",
        )
    training, ranks = split_training(name)
    if any(training.count(kind) > 1 for kind in ("_start_", "rate_ratio_", "bias_norm_")):
        raise input_error(
            "two starts, or two ratios of rates, in one name",
            where="strategy",
            got=name,
            expected="one of each at most",
            remedy=f"leave all but one of {training} out, before {ranks}",
        )
