"""A method's parameters: defaults, bounds, and what is wrong with a value."""

from dataclasses import dataclass

from adarank.errors import Problem

Value = float | str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        default: Its value where none is given.
        about: What it is, in a line.
        low: Least value of a number; open where `open_low`.
        high: Greatest value of a number.
        choices: The values there are, for a word.
        open_low: Whether `low` itself is refused.
        open_high: Whether `high` itself is refused.
    """

    default: Value
    about: str
    low: float = 0.0
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    open_low: bool = False
    open_high: bool = True

    def problem(self, name: str, value: object) -> Problem | None:
        """What is wrong with a value, or None."""
        if self.choices:
            if value in self.choices:
                return None
            return Problem("no such choice", name, value, f"one of: {', '.join(self.choices)}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            above = self.low < value if self.open_low else self.low <= value
            below = value < self.high if self.open_high else value <= self.high
            if above and below:
                return None
        low, high = "<" if self.open_low else "<=", "<" if self.open_high else "<="
        bounds = f"one number, {self.low:g} {low} {name} {high} {self.high:g}"
        return Problem("not a value of this parameter", name, value, bounds)
