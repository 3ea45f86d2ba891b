"""The runs of a cell in their order, and parts of them that several machines train side by side."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error
from adarank.pipeline.params.finetune import FinetuneSection
from adarank.pipeline.scratch.training import SeededRates
from adarank.tuning.loop.rates import Rates

R = TypeVar("R")


@dataclass(frozen=True)
class Part:
    """Neighbouring runs of one kind.

    Attributes:
        kind: `rate`: runs from which the rates are chosen; `seed`: those of the study's seeds.
        first: The first run's place among those of its kind.
        end: The place after the last one.
    """

    kind: str
    first: int
    end: int

    @property
    def size(self) -> int:
        """How many runs it holds."""
        return self.end - self.first

    def __str__(self) -> str:
        return f"{self.kind}:{self.first}:{self.end}"

    def of(self, runs: Sequence[R]) -> list[R]:
        """Return the part's runs among all of its kind."""
        return list(runs[self.first : self.end])


def part_from(text: str) -> Part:
    """Read a part as it is written.

    >>> part_from("seed:0:2")
    Part(kind='seed', first=0, end=2)

    Raises:
        InputError: This is no part.
    """
    found = re.fullmatch(r"(rate|seed):(\d+):(\d+)", text)
    if not found:
        raise input_error(
            "no such part of a cell", where="--only", got=text, expected="rate:0:2 or seed:0:2"
        )
    return Part(found[1], int(found[2]), int(found[3]))


def parts(kind: str, runs: int, size: int, together: int = 1) -> list[Part]:
    """Cut the runs of a kind into parts.

    Args:
        kind: `rate` or `seed`.
        runs: How many there are.
        size: Of a part.
        together: How many are trained at once: a part holds such groups whole.

    >>> [str(part) for part in parts("seed", runs=5, size=1, together=2)]
    ['seed:0:2', 'seed:2:4', 'seed:4:5']
    """
    whole = -(-size // together) * together
    return [Part(kind, at, min(at + whole, runs)) for at in range(0, runs, whole)]


def candidates(section: FinetuneSection, plan: RankPlan) -> list[Rates]:
    """List every learning rate with every ratio; the plan's own ratio, or none, goes before."""
    ratios = section.rate_ratio if plan.rate_ratio is None else [plan.rate_ratio]
    ratios = [1.0] if plan.tuner == "full" else ratios
    return [Rates(rate, ratio) for ratio in ratios for rate in section.learning_rate]


def tries(section: FinetuneSection, plan: RankPlan) -> list[SeededRates]:
    """List the runs from which the rates are chosen; none where there is no choice."""
    found = candidates(section, plan)
    return [(seed, one) for one in found for seed in section.tuning_seed] if len(found) > 1 else []
