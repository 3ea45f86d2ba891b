"""Numbers in words: shares in percentage points, p-values without false precision."""

from collections.abc import Sequence

_SHARES = ("auc", "exact_match", "mean_score")
_CORRELATIONS = ("pearson", "spearman", "matthews")


def is_share(metric: str) -> bool:
    """Whether a metric is a share of 1, which people read in percent."""
    return metric in _SHARES or "accuracy" in metric or "f1" in metric


def in_points(metric: str) -> bool:
    """Whether a metric is bounded by 1, so that a hundredth of it is a point.

    Shares and correlations are; losses and errors are not, and are never averaged with them.
    """
    return is_share(metric) or metric in _CORRELATIONS


def title(metric: str) -> str:
    """Spell a metric's name with spaces."""
    return metric.replace("_", " ").replace("f1", "F1")


def digits(metric: str, value: float, sign: str = "") -> str:
    """Write a value or a difference: a share in percent, anything else as it is; no unit."""
    text = f"{100 * value:{sign}.2f}" if is_share(metric) else f"{value:{sign}.4f}"
    # What rounds to nothing has no direction.
    return text if text.strip("+-0.") else text.lstrip("+-")


def number(metric: str, value: float, sign: str = "") -> str:
    """Write a difference with its unit: points of percent for a share."""
    return digits(metric, value, sign) + (" points" if is_share(metric) else "")


def amount(metric: str, value: float) -> str:
    """Write a difference with its sign and unit."""
    return number(metric, value, "+")


def span(metric: str, low: float | None, high: float | None) -> str:
    """Write an interval of a difference, without its unit."""
    if low is None or high is None:
        return "unknown"
    return f"{digits(metric, low, '+')} to {digits(metric, high, '+')}"


def probability(p: float | None) -> str:
    """Write a p-value with three digits at most."""
    if p is None:
        return "unknown"
    return "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def listed(names: Sequence[str]) -> str:
    """Join names: `a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def short_verdict(verdict: str) -> str:
    """Shorten a verdict for the column of a narrow table.

    Example:
        >>> short_verdict("not distinguishable"), short_verdict("better")
        ('not distinct', 'better')
    """
    return "not distinct" if verdict == "not distinguishable" else verdict
