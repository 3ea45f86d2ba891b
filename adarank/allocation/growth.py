"""How ranks change while a plan is trained: they grow, or fall by a schedule, to the budget."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, isclose
from typing import Literal, get_args

from adarank.errors import InputError, Problem

Trigger = Literal["plateau", "threshold"]
Grow = Literal["all", "by_gradient"]
Direction = Literal["random", "gradient"]
Change = Literal["extend", "renew"]
Prune = Literal["none", "end"]
Keep = Literal["energy", "plan"]

_PEAK = 16
"""Largest rank over start rank where none is given: 4 to 64, as published."""


@dataclass(frozen=True)
class Growth:
    """How ranks change during a run.

    Either ranks grow from `start_rank` and are pruned once, or they fall along `schedule`.
    Defaults of None follow from the run; see `settle`.

    Attributes:
        start_rank: Rank of every module at first; None for the budget, rounded up.
        max_rank: Rank of a module at most; None for 16 times the start rank or the module's
            smaller side.
        step: Ranks that a module gains at a time; by gradient, on average over modules.
        check_every: Optimiser steps between checks of the trigger; None for a tenth of the run.
        warmup_steps: Optimiser steps before the first check; None for a tenth of the run.
        trigger: `plateau`: the mean train loss of the last `window` steps is less than
            `tolerance` (a share) below that of the window before. `threshold`: the last batch's
            loss is above `tolerance`.
        tolerance: See `trigger`.
        window: Optimiser steps of a mean; None for half of check_every.
        grow: Which modules grow: `all` alike, or those whose next direction of the gradient
            gains most per parameter, at the cost of `step` ranks everywhere.
        direction: New rows of A: `random`, or along the mean gradient.
        change: `extend` appends rows to A and zero columns to B, which leaves the function as it
            is. `renew` merges the adapter into the base and starts a new, larger one with a new
            optimizer and schedule.
        prune: When ranks are cut to the budget: `end`, after the last step; a share of the
            steps, after which the run goes on; or `none`.
        keep: Which ranks a cut leaves: those of the components with most `energy` per parameter,
            over all modules; or the `plan`'s own, multiplied as `schedule` says.
        loss_metric: Whether components are cut by what the loss sees of them, not by their norm.
        rows: Train rows on which gradients and the loss metric are measured, at most.
        schedule: Budgets along the run as multiples of the plan's, falling, the last one 1; empty
            for growth.
        shares: Share of the steps that each entry of `schedule` gets; empty for equal shares.

    Raises:
        InputError: Every value that is out of range, at once.

    Example:
        >>> course = Growth(schedule=(4, 2, 1)).settle(budget=1, steps=90, sides={"q": 32})
        >>> course.start, course.cuts
        (4, ((30, 2), (60, 1)))
    """

    start_rank: int | None = None
    max_rank: int | None = None
    step: int = 2
    check_every: int | None = None
    warmup_steps: int | None = None
    trigger: Trigger = "plateau"
    tolerance: float = 0.02
    window: int | None = None
    grow: Grow = "all"
    direction: Direction = "random"
    change: Change = "extend"
    prune: Prune | float = 0.6
    keep: Keep = "energy"
    loss_metric: bool = True
    rows: int = 256
    schedule: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if problems := [*self._choices(), *self._numbers(), *self._annealing()]:
            raise InputError(*problems)

    def settle(self, budget: float, steps: int, sides: Mapping[str, int]) -> "Course":
        """Fill in what follows from a run.

        Args:
            budget: The plan's average rank.
            steps: Optimiser steps of the run.
            sides: Smaller side of every module's weight, by name.

        Raises:
            InputError: What the run or the modules do not allow, all at once.
        """
        multiple = self.schedule[0] if self.schedule else 1.0
        start = self.start_rank or ceil(multiple * budget)
        highest = self.max_rank or _PEAK * start
        every = self.check_every or max(1, steps // 10)
        warmup = steps // 10 if self.warmup_steps is None else self.warmup_steps
        window = self.window or max(1, every // 2)
        cuts = self._cuts(steps)
        problems = self._against_modules(start, highest, sides)
        if not self.schedule:
            problems += _too_long("window", 2 * window, steps, "two windows")
            problems += _too_long("warmup_steps", warmup + 1, steps, "one step more")
        ends = [0, *(step for step, _ in cuts)]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            what = "a part of the run without a step"
            got = f"cuts after the steps {ends[1:]} of {steps}"
            remedy = "more steps, or larger shares"
            problems.append(Problem(what, "growing.prune, shares", got, "a step or more", remedy))
        if problems:
            raise InputError(*problems)
        return Course(start, highest, every, warmup, window, cuts)

    def _cuts(self, steps: int) -> tuple[tuple[int, float], ...]:
        """After which steps the update is cut to which multiple of the budget."""
        if self.schedule:
            shares = self.shares or (1 / len(self.schedule),) * len(self.schedule)
            ends = [round(share * steps) for share in accumulate(shares[:-1])]
            return tuple(zip(ends, self.schedule[1:], strict=True))
        if self.prune == "none":
            return ()
        return ((steps if self.prune == "end" else round(float(self.prune) * steps), 1.0),)

    def _choices(self) -> Iterator[Problem]:
        allowed = {
            "trigger": Trigger,
            "grow": Grow,
            "direction": Direction,
            "change": Change,
            "keep": Keep,
        }
        for name, choices in allowed.items():
            value, names = getattr(self, name), get_args(choices)
            if value not in names:
                yield Problem("no such choice", f"growing.{name}", value, " or ".join(names))

    def _numbers(self) -> Iterator[Problem]:
        counts = ("start_rank", "max_rank", "step", "check_every", "window", "rows")
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                yield Problem("not a count", f"growing.{name}", value, "a whole number, 1 or more")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            where = "growing.warmup_steps"
            yield Problem("not a count", where, self.warmup_steps, "a whole number, 0 or more")
        if not 0 <= self.tolerance < float("inf"):
            yield Problem("no such tolerance", "growing.tolerance", self.tolerance, "0 or more")
        known = self.prune in get_args(Prune)
        if not known and not (isinstance(self.prune, int | float) and 0 < self.prune < 1):
            expected = "none, end, or a share of the steps between 0 and 1"
            remedy = "end prunes after the last step"
            yield Problem("no such time to prune", "growing.prune", self.prune, expected, remedy)
        if self.start_rank and self.max_rank and self.max_rank < self.start_rank:
            got = f"start_rank {self.start_rank}, max_rank {self.max_rank}"
            expected = "a max_rank of start_rank or more"
            yield Problem("ranks that cannot grow", "growing.max_rank", got, expected)

    def _annealing(self) -> Iterator[Problem]:
        if not self.schedule and not self.shares:
            return
        falling = all(earlier > later for earlier, later in pairwise(self.schedule))
        if len(self.schedule) < 2 or not falling or self.schedule[-1] != 1:
            expected = "two or more falling multiples of the budget, the last one 1"
            yield Problem("no such schedule", "growing.schedule", self.schedule, expected)
        bad = any(share <= 0 for share in self.shares) or not isclose(sum(self.shares), 1)
        if self.shares and (bad or len(self.shares) != len(self.schedule)):
            expected = f"{len(self.schedule)} positive shares that add up to 1"
            yield Problem("no such shares", "growing.shares", self.shares, expected)
        if self.schedule and self.start_rank:
            what, expected = "a schedule decides the first rank", "schedule or start_rank"
            yield Problem(what, "growing.start_rank", self.start_rank, expected)

    def _against_modules(self, start: int, highest: int, sides: Mapping[str, int]) -> list[Problem]:
        problems = [
            Problem(
                "a rank above the module's smaller side",
                f"growing.{key}: {name}",
                value,
                f"at most {side}",
                "a lower rank",
            )
            for key, value in (("start_rank", self.start_rank), ("max_rank", self.max_rank))
            for name, side in sides.items()
            if value is not None and value > side
        ]
        if highest < start:
            got, expected = f"start rank {start}, max_rank {highest}", "max_rank of at least that"
            problems.append(Problem("ranks that cannot grow", "growing.max_rank", got, expected))
        return problems


@dataclass(frozen=True)
class Course:
    """A Growth with every number settled for one run.

    Attributes:
        start: Rank of every module at first, its smaller side at most.
        highest: Rank of a module at most.
        check_every: Optimiser steps between checks.
        warmup_steps: Optimiser steps before the first check.
        window: Optimiser steps of a mean loss.
        cuts: After which steps the update is cut to which multiple of the plan's parameters.
    """

    start: int
    highest: int
    check_every: int
    warmup_steps: int
    window: int
    cuts: tuple[tuple[int, float], ...]

    def checks(self, step: int) -> bool:
        """Whether the trigger is checked after this step; never from the first cut on."""
        since = step - self.warmup_steps
        before_cuts = not self.cuts or step < self.cuts[0][0]
        return before_cuts and since > 0 and since % self.check_every == 0


def _too_long(name: str, needed: int, steps: int, what: str) -> list[Problem]:
    if needed <= steps:
        return []
    expected = f"{what} within the run's {steps} steps"
    return [Problem("longer than the run", f"growing.{name}", needed, expected, "more steps")]


AS_PUBLISHED = Growth(trigger="threshold", tolerance=0.1, change="renew", prune="end")
"""The released notebook's: merge and restart while a batch's loss is above 0.1; pruning is the
step that its description plans."""

SQUEEZED = Growth(schedule=(4, 1), shares=(0.6, 0.4))
"""Four times the budget, truncated once, then trained on (LoRA-Squeeze, arXiv 2602.10993)."""
