"""The keys of a growing strategy in params.yaml: `strategies.NAME.growing`."""

from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, model_validator

from adarank.allocation.growth import Change, Direction, Grow, Growth, Keep, Prune, Trigger
from adarank.errors import InputError
from adarank.pipeline.params.loader import Section

_DEFAULT = Growth()

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _time(value: object) -> object:
    share = isinstance(value, int | float) and 0 < value < 1
    if not share and value not in get_args(Prune):
        raise ValueError("none, end, or a share of the steps between 0 and 1")
    return value


class GrowingSection(Section):
    """How ranks change while a plan is trained; see `adarank.allocation.growth.Growth`."""

    start_rank: Count | None = Field(
        default=_DEFAULT.start_rank,
        description="rank of every module at first; null for the budget, rounded up",
    )
    max_rank: Count | None = Field(
        default=_DEFAULT.max_rank,
        description="rank of a module at most; null for 16 times the start rank",
    )
    step: Count = Field(default=_DEFAULT.step, description="ranks that a module gains at a time")
    check_every: Count | None = Field(
        default=_DEFAULT.check_every,
        description="optimiser steps between checks; null for a tenth of the run",
    )
    warmup_steps: Annotated[int, Field(ge=0)] | None = Field(
        default=_DEFAULT.warmup_steps,
        description="optimiser steps before the first check; null for a tenth of the run",
    )
    trigger: Trigger = Field(
        default=_DEFAULT.trigger,
        description="plateau: the smoothed train loss fell by less than the share tolerance; "
        "threshold: the last batch's loss is above tolerance",
    )
    tolerance: float = Field(default=_DEFAULT.tolerance, ge=0, description="see trigger")
    window: Count | None = Field(
        default=_DEFAULT.window,
        description="optimiser steps of a smoothed loss; null for half of check_every",
    )
    grow: Grow = Field(
        default=_DEFAULT.grow,
        description="all modules alike, or by_gradient: those whose next direction gains most "
        "per parameter",
    )
    direction: Direction = Field(
        default=_DEFAULT.direction, description="new rows of A: random, or along the gradient"
    )
    change: Change = Field(
        default=_DEFAULT.change,
        description="extend the factors, or renew: merge and start a new adapter and optimizer",
    )
    prune: Annotated[Prune | Share, BeforeValidator(_time)] = Field(
        default=_DEFAULT.prune,
        description="cut to the budget: end, after a share of the steps, or none",
    )
    keep: Keep = Field(
        default=_DEFAULT.keep,
        description="ranks that a cut leaves: by energy over all modules, or the plan's",
    )
    loss_metric: bool = Field(
        default=_DEFAULT.loss_metric,
        description="whether components are cut by their effect on the loss, not by their norm",
    )
    rows: Count = Field(
        default=_DEFAULT.rows,
        description="train rows on which gradients and the loss metric are measured",
    )
    schedule: list[Annotated[float, Field(gt=0)]] = Field(
        default=list(_DEFAULT.schedule),
        description="in place of growing: falling multiples of the budget, such as [8, 4, 2, 1]",
    )
    shares: list[Share] = Field(
        default=list(_DEFAULT.shares),
        description="share of the steps of each entry of schedule; empty for equal ones",
    )

    @model_validator(mode="after")
    def _agree(self) -> "GrowingSection":
        try:
            self.growth()
        except InputError as error:
            said = (f"{p.where}: {p.what} ({p.got}); expected {p.expected}" for p in error.problems)
            raise ValueError("; ".join(said)) from None
        return self

    def growth(self) -> Growth:
        """Make the library's form.

        Raises:
            InputError: Values that contradict each other.
        """
        values: dict[str, Any] = self.model_dump()
        values |= {name: tuple(values[name]) for name in ("schedule", "shares")}
        return Growth(**values)
