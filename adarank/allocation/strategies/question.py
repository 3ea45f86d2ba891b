"""The input of a strategy: modules, signals, budget and bounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.allocation.signal import Signal
from adarank.errors import input_error

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """What a strategy computes its weights from.

    Attributes:
        modules: `(n_modules)` rows sorted by name: module, block, kind, d_in, d_out,
            parameters_per_rank.
        signals: What was scored, by the signal's name.
        budget: Parameters that may be spent.
        lower: Least rank, `(n_modules,)`.
        upper: Greatest rank, `(n_modules,)`.
        seed: Of random draws; most strategies draw nothing.
        draw: Number of the draw: with one seed, different draws are independent.
    """

    modules: pd.DataFrame
    signals: Mapping[str, Signal]
    budget: Fraction
    lower: Integers
    upper: Integers
    seed: int = 0
    draw: int = 0

    @property
    def names(self) -> list[str]:
        """The modules' names."""
        return self.modules["module"].tolist()

    @property
    def costs(self) -> Integers:
        """Parameters per rank, `(n_modules,)`."""
        return self.modules["parameters_per_rank"].to_numpy(dtype=np.int64)

    @property
    def blocks(self) -> Integers:
        """Block of every module, `(n_modules,)`."""
        return self.modules["block"].to_numpy(dtype=np.int64)

    @property
    def n_blocks(self) -> int:
        """Number of blocks: one more than the deepest module's."""
        return int(self.blocks.max()) + 1

    def signal(self, name: str) -> Signal:
        """Return a signal.

        Raises:
            InputError: It was not scored, or it is the same for every module.
        """
        if name not in self.signals:
            raise input_error(
                "this signal was not scored",
                where=f"signal {name}",
                got=f"scored: {', '.join(sorted(self.signals)) or 'none'}",
                expected=f"a score table of {name}",
                remedy=f"add {name} to study.signals or study.task_signals: the stage of the "
                f"same name, score@{name} or score_task@{name}, makes data/scores/{name}.parquet",
            )
        signal = self.signals[name]
        if signal.is_constant:
            raise input_error(
                "the signal is the same for every module, so it gives no order",
                where=f"signal {name}",
                got=f"{len(self.modules)} modules of score {signal.score[0]:g}",
                expected="scores that differ",
                remedy="look at the score stage's settings; the strategy uniform needs no signal",
            )
        return signal
