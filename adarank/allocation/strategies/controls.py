"""Names of controls: strategies that separate a signal's worth from mere inequality of ranks."""

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
    """
    form, _, rest = strategy.partition("_")
    return rest or DEFAULT if form in MEANINGS else None


def meaning(control: str) -> str:
    """Describe a control's ranks in a few words."""
    return MEANINGS[form(control)]


def form(control: str) -> str:
    """Return what a control does to its original: permuted or reversed."""
    return control.partition("_")[0]
