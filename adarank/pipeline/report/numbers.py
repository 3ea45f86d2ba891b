"""Numbers as people read them: shares in percent, p-values to the digits that matter."""

from adarank.comparison.wording import is_share

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"

Known = int | float | None


def unit(metric: str, *, difference: bool = False) -> str:
    """Name what a metric, or a difference of two, is shown in; empty for a plain number."""
    return ("percentage points" if difference else "%") if is_share(metric) else ""


def scaled(value: float, metric: str) -> float:
    """Convert a value to the unit it is shown in."""
    return 100 * value if is_share(metric) else value


def value(number: Known, metric: str, *, signed: bool = False) -> str:
    """Write a metric's value without its unit: 87.87, +2.18, 4.898."""
    if number is None:
        return NONE
    shown = scaled(number, metric)
    digits = ",.0f" if abs(shown) >= 1000 else ".2f" if is_share(metric) else "#.4g"
    return f"{shown:{'+' if signed else ''}{digits}}".replace("-", MINUS)


def with_interval(
    mean: Known, low: Known, high: Known, metric: str, *, signed: bool = False
) -> str:
    """Write a value with its interval: `87.87 % (87.00 to 88.74)`."""
    name = unit(metric, difference=signed)
    shown = f"{value(mean, metric, signed=signed)}{f' {name}' if name else ''}"
    if mean is None or low is None or high is None:
        return shown
    ends = (value(end, metric, signed=signed) for end in (low, high))
    return f"{shown} ({' to '.join(ends)})"


def p_value(p: Known) -> str:
    """Write a p-value: three digits where they matter, two where they do not."""
    if p is None:
        return NONE
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_equals(p: Known) -> str:
    """Write `p = 0.031`, `p < 0.001`, or nothing where there is none."""
    text = p_value(p)
    if p is None:
        return ""
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def number(one: Known, digits: int = 4) -> str:
    """Write any other number to some significant digits: 0.006441, 12,500."""
    if one is None:
        return NONE
    if isinstance(one, int):
        return f"{one:,}".replace("-", MINUS)
    return f"{one:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("-", MINUS)
