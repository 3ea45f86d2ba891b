"""Forms of strategies: controls with the same weights, and other ways to train the same ranks."""

from dataclasses import replace

import numpy as np

from adarank.allocation.starts import SIGNALS, StartName
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.strategy import Strategy, Weights
from adarank.errors import input_error


def reversed_of(strategy: Strategy) -> Strategy:
    """Make the control that gives the k-th highest weight to the k-th lowest module.

    The weights stay the same, so a strategy that beats this control owes it to which module got
    which weight, not to their inequality. Equal weights are ordered by block, then name: the
    reverse of the last blocks are the first.
    """

    def weigh_reversed(question: Question) -> Weights:
        weights = strategy.weigh(question)
        ascending = np.lexsort((np.array(question.names), question.blocks, weights))
        swapped = np.empty_like(weights)
        swapped[ascending] = weights[ascending[::-1]]
        return swapped

    return replace(strategy, weigh=weigh_reversed)


def permuted_of(strategy: Strategy) -> Strategy:
    """Make the control that assigns the strategy's weights to modules at random.

    Draw 0 of a seed is PCG64(seed)'s permutation, every other that of PCG64([seed, draw]).
    """

    def weigh_permuted(question: Question) -> Weights:
        weights = strategy.weigh(question)
        by_name = np.argsort(np.array(question.names), kind="stable")
        entropy = [question.seed, question.draw] if question.draw else question.seed
        shuffled = np.random.Generator(np.random.PCG64(entropy)).permutation(by_name)
        permuted = np.empty_like(weights)
        permuted[by_name] = weights[shuffled]
        return permuted

    return replace(strategy, weigh=weigh_permuted, random=True)


def priced_of(strategy: Strategy) -> Strategy:
    """Make the form that opens only blocks that are worth their price.

    A control of it has the weights of the original permuted or reversed, and then the same price.

    Raises:
        InputError: The strategy states its ranks, or its tuner changes them.
    """
    if strategy.literal or strategy.tuner != "lora":
        raise input_error(
            "blocks have a price where a budget is shared out by weights, once",
            where="strategy priced_...",
            got=strategy.about,
            expected="a strategy that weighs modules and that LoRA trains, such as disagreement",
            remedy="leave `priced_` out",
        )
    return replace(strategy, priced=True, selects=True)


def start_of(strategy: Strategy, start: StartName) -> Strategy:
    """Make the form whose factors begin in another way; the ranks stay the strategy's.

    Raises:
        InputError: The strategy's tuner begins its factors itself, or has none.
    """
    if strategy.tuner != "lora":
        raise input_error(
            f"the tuner {strategy.tuner} decides itself how its weights begin",
            where=f"strategy {start}_start_...",
            got=strategy.about,
            expected="a strategy that LoRA trains with the plan's ranks, such as uniform",
            remedy=f"leave `{start}_start_` out",
        )
    others = [name for name in strategy.signals if name not in SIGNALS.values()]
    needed = (*others, *([SIGNALS[start]] if start in SIGNALS else []))
    return replace(strategy, start=start, signals=needed)


def rate_ratio_of(strategy: Strategy, ratio: float) -> Strategy:
    """Make the form that trains B at so many times A's rate.

    Raises:
        InputError: The strategy trains no factors.
    """
    if strategy.tuner == "full":
        raise input_error(
            "full fine-tuning has no factors A and B",
            where=f"strategy rate_ratio_{ratio:g}_...",
            got=strategy.about,
            expected="a strategy that trains adapters, such as uniform",
            remedy=f"leave `rate_ratio_{ratio:g}_` out",
        )
    return replace(strategy, rate_ratio=float(ratio))


def bias_norm_of(strategy: Strategy) -> Strategy:
    """Make the form that trains biases and norms too, and spends what is left on ranks.

    Raises:
        InputError: Another tuner than LoRA's, or ranks that no budget sets.
    """
    if strategy.tuner != "lora" or strategy.literal:
        raise input_error(
            "biases and norms are counted with ranks that the budget sets",
            where="strategy bias_norm_...",
            got=strategy.about,
            expected="a strategy that LoRA trains within a budget, such as uniform",
            remedy="leave `bias_norm_` out",
        )
    return replace(strategy, bias_norm=True)
