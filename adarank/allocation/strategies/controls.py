"""Names of controls: strategies that separate a signal's worth from mere inequality of ranks."""

from adarank.allocation.starts import split_training

DEFAULT = "disagreement"
"""The original of `reversed` and `permuted` without a name behind."""

MEANINGS = {
    "permuted": "randomly permuted ranks",
    "reversed": "ranks in the opposite order",
}
"""What a control's ranks are, by the first part of its name."""


def original(strategy: str) -> str | None:
    """Return the strategy that one is a control of; None if it is no control.

    Example:
        >>> original("reversed_fisher"), original("permuted"), original("fisher")
        ('fisher', 'disagreement', None)
        >>> original("gradient_start_permuted_fisher")
        'gradient_start_fisher'
    """
    training, ranks = split_training(strategy)
    form, _, rest = ranks.partition("_")
    return training + (rest or DEFAULT) if form in MEANINGS else None


def meaning(control: str) -> str:
    """Describe a control's ranks in a few words."""
    return MEANINGS[form(control)]


def form(control: str) -> str:
    """Return what a control does to its original: permuted or reversed."""
    return split_training(control)[1].partition("_")[0]


def has_ranks_of(strategy: str, *others: str) -> bool:
    """Whether a strategy gives the ranks of any of the others, however it trains them.

    Example:
        >>> has_ranks_of("gradient_start_uniform", "uniform")
        True
    """
    return split_training(strategy)[1] in {split_training(other)[1] for other in others}
