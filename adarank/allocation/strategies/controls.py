"""Controls: strategies that show whether another's scores, and not its inequality, help."""

DEFAULT = "disagreement"
"""What `reversed` and `permuted` alone are of."""

MEANINGS = {
    "permuted": "randomly permuted ranks",
    "reversed": "ranks in the opposite order",
}
"""What a control's ranks are, by the first part of its name."""


def original(strategy: str) -> str | None:
    """Name the strategy that one is a control of; None if it is no control."""
    form, _, rest = strategy.partition("_")
    return rest or DEFAULT if form in MEANINGS else None


def meaning(control: str) -> str:
    """Say what a control's ranks are."""
    return MEANINGS[form(control)]


def form(control: str) -> str:
    """Name what a control does to its original: permuted or reversed."""
    return control.partition("_")[0]
