"""The mean gain over tasks: every task weighs the same, seeds are paired within each task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from adarank.comparison.significance import sign_flip_p


@dataclass(frozen=True)
class TaskGain:
    """A cell's mean paired gain on one task.

    Attributes:
        task: The task.
        n: Pairs of seeds.
        gain: Their mean difference, signed so that positive is better.
        error: Its standard error; None with one pair.
        each: The gain of each pair, in the order of the seeds.
    """

    task: str
    n: int
    gain: float
    error: float | None
    each: tuple[float, ...]


@dataclass(frozen=True)
class MeanGain:
    """The mean of the gains over tasks; None where one pair leaves the variance unknown.

    Attributes:
        gain: The mean; positive is better.
        low: Lower end of its 95 % interval.
        high: Upper end.
        error: Its standard error.
        df: The error's degrees of freedom; None where no task has any spread.
        t_p: p of the t test.
        p: Sign-flip p, flipping each seed within each task.
    """

    gain: float
    low: float | None
    high: float | None
    error: float | None
    df: float | None
    t_p: float | None
    p: float


def task_gain(task: str, each: Sequence[float]) -> TaskGain:
    """Average the gains of one task's pairs.

    Args:
        task: The task's name.
        each: The gain of each pair of seeds, shape (n,), n at least 1.
    """
    n, mean = len(each), math.fsum(each) / len(each)
    if n == 1:
        return TaskGain(task, n, mean, None, tuple(each))
    # Equal values have no spread; their mean's rounding must not make one.
    squares = math.fsum((g - mean) ** 2 for g in each) if len(set(each)) > 1 else 0.0
    return TaskGain(task, n, mean, math.sqrt(squares / (n - 1) / n), tuple(each))


def mean_gain(tasks: Sequence[TaskGain]) -> MeanGain:
    """Average gains over tasks, with the interval and the t test of the average.

    The mean over T tasks has the variance sum(error_t^2) / T^2: the tasks are those of the study,
    not a sample of others, and their seeds are independent. Its degrees of freedom are those of
    Welch (1947, Biometrika 34:28) and Satterthwaite (1946, Biometrics Bulletin 2:110). Where no
    task has any spread, t is undefined and the sign-flip p stands for it.

    Args:
        tasks: At least one task's gain, all in one unit.

    Example:
        >>> found = mean_gain([task_gain("a", [1.0, 3.0]), task_gain("b", [0.0, 2.0])])
        >>> found.gain, round(found.error, 3), round(found.df, 1)
        (1.5, 0.707, 2.0)
    """
    count = len(tasks)
    gain = math.fsum(task.gain for task in tasks) / count
    flips = sign_flip_p([g / task.n for task in tasks for g in task.each])
    parts = [(task.error / count, task.n - 1) for task in tasks if task.error is not None]
    if len(parts) < count:
        return MeanGain(gain, None, None, None, None, None, flips)
    variance = math.fsum(error**2 for error, _ in parts)
    if variance == 0:
        return MeanGain(gain, gain, gain, 0.0, None, flips, flips)
    df = variance**2 / math.fsum(error**4 / free for error, free in parts)
    error = math.sqrt(variance)
    half = float(stdtrit(df, 0.975)) * error
    p = 2 * float(stdtr(df, -abs(gain) / error))
    return MeanGain(gain, gain - half, gain + half, error, df, p, flips)
