"""User-defined strategies: a rank per block, lists per kind of module, or signals combined."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.growth import Growth
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.registry import find_strategy, uniform, weigh
from adarank.allocation.strategies.strategy import Strategy
from adarank.errors import InputError, Problem, input_error
from adarank.models.kinds import ATTENTION, FEED_FORWARD

Weights = NDArray[np.float64]

_LONGEST = 9
"""Digits of a rank at most: far beyond any module's size."""

_MOST = 1e100

_ORDER = list(dict.fromkeys([*ATTENTION.values(), *FEED_FORWARD.values()]))


def custom(name: str, layer_ranks: Sequence[int]) -> Strategy:
    """Make the strategy of one listed rank per block.

    The form of adaptive-lora-placement's JSON files.

    Args:
        name: The strategy's name, for errors.
        layer_ranks: One rank a block, the block nearest the input first.
    """

    def weights(question: Question) -> Weights:
        ranks = _checked(name, layer_ranks, question.n_blocks)
        return ranks[question.blocks]

    return Strategy(weights, "a rank per block, as listed", states_ranks=True)


def explicit(name: str, ranks: str | Mapping[str, str | Sequence[int]]) -> Strategy:
    """Make the strategy of listed ranks per kind and block.

    The form of the flag `ranks` of Dong 2024's code: "1,3,3 5,6,5" has a list for each kind,
    separated by spaces, in the order query, key, value, dense, up, gate, down.

    Args:
        name: The strategy's name, for errors.
        ranks: Such lists, or a list by kind; kinds that it leaves out get no rank.
    """

    def weights(question: Question) -> Weights:
        kinds = question.modules["kind"].tolist()
        lists = _by_kind(name, ranks, sorted(set(kinds), key=_place))
        checked = {k: _checked(f"{name}.{k}", v, question.n_blocks) for k, v in lists.items()}
        none = np.zeros(question.n_blocks)
        pairs = zip(kinds, question.blocks, strict=True)
        return np.array([checked.get(kind, none)[block] for kind, block in pairs])

    return Strategy(weights, "ranks per kind and block, as listed", states_ranks=True)


def combined(name: str, parts: Mapping[str, float]) -> Strategy:
    """Make the strategy that averages several strategies' shares.

    w_m = sum_s c_s w_sm / sum_n w_sn, so that each strategy counts by its share c_s, whatever
    the unit of its weights.

    Args:
        name: The strategy's name, for errors.
        parts: How much each strategy counts, above 0, by its name.

    Raises:
        InputError: No parts, an unknown one, or one that counts for nothing.
    """
    bad = {part: count for part, count in parts.items() if not 0 < count <= _MOST}
    if bad or not parts:
        raise input_error(
            "parts that cannot be combined",
            where=f"strategies.{name}.combined",
            got=bad or "none",
            expected=f"strategies, each with a number above 0 and at most {_MOST:g}",
            remedy="such as {disagreement: 1, linear_decay: 0.5}",
        )
    named = {part: find_strategy(part) for part in parts}
    if peers := [part for part, strategy in named.items() if strategy.owns_training]:
        raise input_error(
            "strategies that decide how to train have more than weights to combine",
            where=f"strategies.{name}.combined",
            got=", ".join(peers),
            expected="strategies that weigh modules, such as disagreement or linear_decay",
            remedy=f"leave them out; a start or rate goes before the whole: gradient_start_{name}",
        )

    def weights(question: Question) -> Weights:
        total = np.zeros(len(question.modules))
        for part, count in parts.items():
            share = weigh(part, replace(named[part], literal=False), question)
            total += count * share / share.sum()
        return total

    signals = tuple(dict.fromkeys(s for strategy in named.values() for s in strategy.signals))
    random = any(strategy.random for strategy in named.values())
    about = f"the shares of {', '.join(parts)} combined"
    return Strategy(weights, about, signals, random=random)


def growing(growth: Growth) -> Strategy:
    """Start uniform, and change the ranks while training as `growth` says."""
    return Strategy(uniform, "ranks that change while training", tuner="growing", growth=growth)


def _by_kind(
    name: str, ranks: str | Mapping[str, str | Sequence[int]], kinds: list[str]
) -> dict[str, Sequence[int] | list[str]]:
    if isinstance(ranks, str):
        lists = ranks.split()
        if len(lists) != len(kinds):
            raise input_error(
                "not as many lists as kinds of module",
                where=f"strategies.{name}.explicit",
                got=f"{len(lists)} lists",
                expected=f"{len(kinds)}, for {', '.join(kinds)} in this order",
                remedy="separate lists by a space, ranks by a comma; or name them by kind",
            )
        ranks = dict(zip(kinds, lists, strict=True))
    if unknown := sorted(ranks.keys() - set(kinds)):
        raise input_error(
            "no scored module is of this kind",
            where=f"strategies.{name}.explicit",
            got=", ".join(unknown),
            expected=f"some of: {', '.join(kinds)}",
            remedy="correct the kind's name, or score modules of it (score.modules)",
        )
    return {kind: v.split(",") if isinstance(v, str) else v for kind, v in ranks.items()}


def _checked(name: str, ranks: Sequence[int] | Sequence[str], n_blocks: int) -> Weights:
    problems: list[Problem] = []
    where = f"strategies.{name}"
    if len(ranks) != n_blocks:
        expected = f"{n_blocks}, one per block of the model, the one nearest the input first"
        remedy = "list a rank for each block, 0 for none"
        problems.append(Problem("not as many ranks as blocks", where, len(ranks), expected, remedy))
    for place, rank in enumerate(ranks):
        digits = str(rank).strip()
        if not digits.isdecimal() or len(digits) > _LONGEST:
            which, expected = f"{where}[{place}]", f"a whole number, 0 or more, below 1e{_LONGEST}"
            problems.append(Problem("not a rank", which, rank, expected, "correct this one"))
    if problems:
        raise InputError(*problems)
    return np.array([float(rank) for rank in ranks])


def _place(kind: str) -> tuple[bool, int, str]:
    alone = kind.removeprefix("cross_")
    place = _ORDER.index(alone) if alone in _ORDER else len(_ORDER)
    return alone != kind, place, kind
