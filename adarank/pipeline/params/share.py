"""A share of the modules that are scored, for machines that score one model together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.params.score import ScoreSection

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """Every `of`-th module, from the `number`-th on.

    Attributes:
        number: Which share, from 1.
        of: How many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def among(self, items: Sequence[Item]) -> list[Item]:
        """Return the share's items.

        Spread over the model, for a module costs less the later its block.
        """
        return list(items[self.number - 1 :: self.of])


def share_from(text: str) -> Share:
    """Read a share as it is written.

    >>> share_from("1/4")
    Share(number=1, of=4)

    Raises:
        InputError: This is no share.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found or int(found[1]) > int(found[2]):
        raise input_error("no such share", where="--share", got=text, expected="1/4 to 4/4, say")
    return Share(int(found[1]), int(found[2]))


def not_shareable(signal: str, shared: str) -> InputError:
    """Describe a signal that is computed for all modules at once, and name one that is not."""
    what, expected = "these scores cannot be shared out", f"--signal {shared}"
    return input_error(what, where="--share", got=f"--signal {signal}", expected=expected)


def share_problem(section: ScoreSection) -> Problem | None:
    """Say why the scores that these parameters give cannot be shared out; None where they can."""
    what = "these scores cannot be shared out"
    if section.estimator != "exact":
        why = f"{section.estimator}: one pass scores all modules, or each follows the one before"
        return Problem(what, "score.estimator", why, "exact")
    stop = {k: v for k, v in section.stop.model_dump().items() if v is not None}
    if stop:
        name, value = next(iter(stop.items()))
        why = f"{value}: it asks for the scores of all modules after each trial"
        return Problem(what, f"score.stop.{name}", why, "no stop rule")
    return None
