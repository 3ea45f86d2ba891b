"""What a strategy is: a weight per module, and what else a plan of its name is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adarank.allocation.growth import Growth
from adarank.allocation.plan import Tuner
from adarank.allocation.starts import StartName
from adarank.allocation.strategies.question import Question

Weights = NDArray[np.float64]
Weigh = Callable[[Question], Weights]


@dataclass(frozen=True)
class Strategy:
    """A way to weigh modules, and how the plan that follows is made and trained.

    Attributes:
        weigh: Returns a weight per module, `(n_modules,)`, in the modules' order.
        about: One line for lists of strategies.
        signals: Signals that must have been scored.
        tuner: What trains the plan.
        growth: How the tuner `growing` changes ranks; None for other tuners.
        states_ranks: Whether the weights are meant as ranks, so that `literal_` makes sense.
        literal: Whether the weights, rounded down, are the ranks, whatever the budget.
        selects: Whether modules of weight 0 get no adapter, whatever min_rank is.
        priced: Whether blocks have a price, so that few are opened; see `strategies.priced`.
        random: Whether the weights depend on the question's seed and draw.
        rslora: Whether the plan's scale is alpha / sqrt(rank).
        start: How the factors begin.
        rate_ratio: B's learning rate over A's; None for finetune.rate_ratio.
        bias_norm: Whether biases and norms are trained too, and counted first.
        source: Paper or project that it comes from.
    """

    weigh: Weigh
    about: str
    signals: tuple[str, ...] = ()
    tuner: Tuner = "lora"
    growth: Growth | None = None
    states_ranks: bool = False
    literal: bool = False
    selects: bool = False
    priced: bool = False
    random: bool = False
    rslora: bool = False
    start: StartName = "kaiming"
    rate_ratio: float | None = None
    bias_norm: bool = False
    source: str = ""

    @property
    def owns_training(self) -> bool:
        """Whether it says how its plan is trained, and not only how modules are weighed."""
        otherwise = self.start != "kaiming" or self.rate_ratio is not None or self.bias_norm
        return self.tuner != "lora" or otherwise
