"""What the command `ranks` was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adarank.allocation.scale import Scale
from adarank.allocation.starts import StartName
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from adarank.scoring.noise import Noise
from adarank.scoring.outputs import Output
from adarank.scoring.score import Settings


@dataclass(frozen=True)
class Reading:
    """Which model reads which texts, and where.

    Attributes:
        model: A folder, or a source of the download stage.
        probe: A file with a text a line, or a table with a column text; None: the built-in
            sentences.
        rows: Most texts used, from the file's first on.
        max_length: Longest text in tokens.
        device: `auto`, `cpu` or `cuda`.
        refresh: Whether a cached source is fetched again.
        convert_pickle: Whether pickled weights of a source may be converted.
    """

    model: str
    probe: Path | None
    rows: int
    max_length: int
    device: str
    refresh: bool
    convert_pickle: bool


@dataclass(frozen=True)
class Scoring:
    """How modules are scored. The estimator `learned` reads `modules` alone.

    Attributes:
        modules: Their kinds, or all-linear.
        estimator: `exact`, `linearized` or `learned`.
        trials: Trials of the exact estimator, sketches of the linearized one; None: its default.
        noise: Scale of the noise, in standard deviations of a module's weight.
        output: The compared output.
        seed: Decides every draw.
    """

    modules: Sequence[str]
    estimator: str
    trials: int | None
    noise: float
    output: Output
    seed: int

    @property
    def signal(self) -> str:
        """The signal that the estimator computes, by which strategies know it."""
        return "learned_order" if self.estimator == "learned" else "disagreement"

    @property
    def settings(self) -> Settings:
        """The settings of an estimator that disturbs modules."""
        noise = Noise(self.noise)
        if self.estimator == "exact":
            return Exact(self.trials or 5, noise, self.output, seed=self.seed)
        return Linearized(self.trials or 1, noise, self.output, self.seed)


@dataclass(frozen=True)
class Sharing:
    """How a budget is shared out; see `adarank.allocation.allocate`."""

    budget: float
    strategy: str
    rounding: str
    min_rank: int
    max_rank: int | None
    scale: Scale
    seed: int


@dataclass(frozen=True)
class Beginning:
    """How the factors of an untrained adapter begin.

    Attributes:
        start: See `adarank.tuning.starts`.
        table: Labelled rows of the task: columns text and label, prompt and response, or text.
        adapter: The folder that gets the adapter.
        rows: Most rows of the table that are used, a sample.
        warmup_steps: Steps that train the head first, where there is one; 0 for none.
    """

    start: StartName
    table: Path
    adapter: Path
    rows: int
    warmup_steps: int
