"""Measure how often the intervals hold the truth, and how often the verdicts find a difference.

`python -m bench.statistics` prints the tables of docs/STATISTICS.md; a few minutes on one core.
Everything is simulated through the code that summarises a study.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy import stats

from adarank.comparison.across_tasks.comparing import across_tasks
from adarank.comparison.across_tasks.table import TaskMetric
from adarank.comparison.across_tasks.verdict import across_verdict
from adarank.comparison.cells import comparisons, corrected
from adarank.comparison.pairs import pairs
from adarank.comparison.rows_and_seeds import interval, mean_covariance
from adarank.comparison.significance import detectable
from adarank.comparison.verdict import verdict

Floats = NDArray[np.float64]


def study_verdicts(differences: Floats) -> list[str]:
    """Judge one simulated study.

    Args:
        differences: Of each strategy from the reference, shape (n_strategies, n_seeds).

    Returns:
        Each strategy's verdict.
    """
    names = ["uniform", *(f"strategy{at}" for at in range(len(differences)))]
    values = [np.zeros(differences.shape[1]), *differences]
    cells = [_cell(name, each.tolist()) for name, each in zip(names, values, strict=True)]
    compared = pairs(cells, reference="uniform", controls={})
    seeds = range(differences.shape[1])
    found = comparisons(compared, metric="accuracy", better="higher", seeds=seeds, rows={})
    return [verdict(one) for one in corrected(found)]


def power(effect: float, seeds: int, family: int, studies: int, seed: int = 0) -> float:
    """Simulate how often one true difference among `family` comparisons is found.

    Args:
        effect: The true difference, in standard deviations of the pairs' differences.
        seeds: Pairs of seeds.
        family: Strategies that are compared with the reference; all but one differ by nothing.
        studies: How many studies are simulated; the same draws for every effect.
        seed: Decides the draws.
    """
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(studies):
        # Drawn for many seeds whatever their number, so that more seeds extend the same study.
        differences = rng.normal(size=(family, 32))[:, :seeds]
        differences[0] += effect
        found += study_verdicts(differences)[0] == "better"
    return found / studies


def false_findings(seeds: int, family: int, studies: int, seed: int = 0) -> float:
    """Simulate how often a study in which nothing differs shows any difference."""
    rng = np.random.default_rng(seed)
    shown = (study_verdicts(rng.normal(size=(family, seeds))) for _ in range(studies))
    return sum(any(v in ("better", "worse") for v in words) for words in shown) / studies


@dataclass(frozen=True)
class Accuracies:
    """Two fine-tunings measured on the same rows: 1 where a row is answered rightly.

    Attributes:
        rows: Test rows, of differing difficulty.
        seeds: Seeds of each; they disagree on rows, which makes the interaction.
        row_effect: How much more the first helps some rows than others: a standard deviation.
        seed_effect: How much seeds differ as a whole: a standard deviation.
    """

    rows: int
    seeds: int
    row_effect: float = 0.0
    seed_effect: float = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw both, each of shape (rows, seeds)."""
        hard = rng.normal(1.5, 1.5, self.rows)
        effect = rng.normal(0, self.row_effect, self.rows)
        shape = (self.rows, self.seeds)
        luck = rng.normal(0, self.seed_effect, (2, self.seeds))
        first = (hard + effect)[:, None] + luck[0] + rng.normal(0, 1, shape)
        second = hard[:, None] + luck[1] + rng.normal(0, 1, shape)
        return (first > 0).astype(float), (second > 0).astype(float)

    @property
    def truth(self) -> float:
        """The true mean difference, over all rows and seeds there might be."""
        noise = 1 + self.seed_effect**2 + 1.5**2
        first, second = (stats.norm.sf(-1.5 / (noise + e**2) ** 0.5) for e in (self.row_effect, 0))
        return float(first - second)


def rows_coverage(of: Accuracies, tables: int, seed: int = 0) -> tuple[float, float, float]:
    """Simulate intervals over rows and seeds.

    Returns:
        Coverage of the interval over rows and seeds, that of the interval over seeds alone, and
        the mean half-width of the first over 1.96 true standard deviations.
    """
    rng = np.random.default_rng(seed)
    both, alone, halves, means = 0, 0, [], []
    factor = stats.t.ppf(0.975, of.seeds - 1) / of.seeds**0.5
    for _ in range(tables):
        first, second = of.draw(rng)
        each = (first - second).mean(0)
        ends = interval(each, mean_covariance(first, second), of.rows)
        assert ends is not None
        both += ends[0] <= of.truth <= ends[1]
        alone += abs(each.mean() - of.truth) <= factor * each.std(ddof=1)
        halves.append((ends[1] - ends[0]) / 2)
        means.append(each.mean())
    width = float(np.mean(halves) / (1.96 * np.std(means)))
    return both / tables, alone / tables, width


def tasks_coverage(
    spreads: Sequence[float], seeds: int, studies: int, gain: float = 0.0, seed: int = 0
) -> tuple[float, float]:
    """Simulate the interval of the mean over tasks, whose spreads over seeds differ.

    Args:
        spreads: Each task's standard deviation of the paired differences, in points.
        seeds: Pairs of seeds per task.
        studies: How many studies are simulated.
        gain: The true gain on every task, in points.
        seed: Decides the draws.

    Returns:
        Coverage, and how often the gain is found to be one.
    """
    rng = np.random.default_rng(seed)
    metrics = {f"task{at}": TaskMetric("accuracy", "higher") for at in range(len(spreads))}
    hits = better = 0
    for _ in range(studies):
        rows = list(_runs(rng, dict(zip(metrics, spreads, strict=True)), seeds, gain))
        columns = ["task", "strategy", "budget", "seed", "value"]
        (one,) = across_tasks(
            pd.DataFrame(rows, columns=columns),
            metrics,
            reference="uniform",
            controls={},
            seeds=range(seeds),
        )
        assert one.mean is not None and one.mean.low is not None and one.mean.high is not None
        hits += one.mean.low <= gain <= one.mean.high
        better += across_verdict(one) == "better"
    return hits / studies, better / studies


def main(tables: list[str] = typer.Argument(None), studies: int = 2000) -> None:  # noqa: B008
    """Print tables as Markdown: detectable, power, rows, tasks; all of them by default."""
    for name in tables or _TABLES:
        for line in _TABLES[name](studies):
            typer.echo(line)
        typer.echo("")


def _detectable(studies: int) -> Iterator[str]:
    yield "| comparisons | seeds | smallest detectable difference, sd | power there |"
    yield "| ---: | ---: | ---: | ---: |"
    for family in (1, 4, 8, 13):
        for seeds in (3, 5, 10):
            least = detectable(1.0, seeds, family=family) or 0.0
            found = power(least, seeds, family, studies)
            yield f"| {family} | {seeds} | {least:.2f} | {found:.3f} |"


def _power(studies: int) -> Iterator[str]:
    yield "| seeds | power at 1.5 sd: 1 comparison | 4 | 8 | false findings: 1 | 4 | 8 |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for seeds in range(3, 13):
        found = [f"{power(1.5, seeds, family, studies):.3f}" for family in (1, 4, 8)]
        false = [f"{false_findings(seeds, family, studies):.3f}" for family in (1, 4, 8)]
        yield f"| {seeds} | {' | '.join([*found, *false])} |"


def _rows(studies: int) -> Iterator[str]:
    yield "| rows | seeds | row effect | seed effect | rows and seeds | seeds alone | width |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for rows, seeds in ((500, 3), (500, 5), (2000, 5), (500, 10)):
        for effect, luck in ((0.0, 0.0), (0.0, 0.15), (0.7, 0.0), (2.0, 0.0), (2.0, 0.15)):
            both, alone, width = rows_coverage(Accuracies(rows, seeds, effect, luck), studies)
            numbers = f"{both:.3f} | {alone:.3f} | {width:.2f}"
            yield f"| {rows} | {seeds} | {effect} | {luck} | {numbers} |"


def _tasks(studies: int) -> Iterator[str]:
    yield "| tasks' spreads, points | seeds | coverage | power at 1 point |"
    yield "| --- | ---: | ---: | ---: |"
    for spreads in ((1, 1), (1, 1, 1, 1, 1, 1), (0.2, 0.5, 1, 2, 4, 8)):
        for seeds in (3, 5, 10):
            covered, _ = tasks_coverage(spreads, seeds, studies)
            _, found = tasks_coverage(spreads, seeds, studies, gain=1.0)
            name = ", ".join(f"{s:g}" for s in spreads)
            yield f"| {name} | {seeds} | {covered:.3f} | {found:.3f} |"


_TABLES = {"detectable": _detectable, "power": _power, "rows": _rows, "tasks": _tasks}


def _runs(
    rng: np.random.Generator, spreads: dict[str, float], seeds: int, gain: float
) -> Iterator[tuple[str, str, float, int, float]]:
    for task, spread in spreads.items():
        for seed in range(seeds):
            luck = rng.normal(80, 5)
            yield task, "uniform", 4.0, seed, luck / 100
            yield task, "disagreement", 4.0, seed, (luck + rng.normal(gain, spread)) / 100


def _cell(name: str, values: list[float]) -> dict[str, Any]:
    rows = [{"seed": s, "split": "test", "n": 100, "accuracy": v} for s, v in enumerate(values)]
    fixed = {"budget": 4.0, "tuner": "lora", "trainable_parameters": 1, "peak_parameters": 1}
    return {"cell": f"{name}-4", "strategy": name, "seeds": rows, "failed": [], **fixed}


if __name__ == "__main__":
    typer.run(main)
