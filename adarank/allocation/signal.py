"""The score table: one row per module and trial in, one value per module out."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import InputError, Problem, input_error

ABOUT_MODULE = ["block", "kind", "d_in", "d_out", "parameters_per_rank"]
COLUMNS = ["module", *ABOUT_MODULE, "trial", "score"]
COMPONENT = "component"
_WORDS = ["module", "kind"]
_COUNTS = ["block", "d_in", "d_out", "parameters_per_rank", "trial"]
_REMEDY = "score again: `dvc repro`"
# Far above any model's, and small enough for exact arithmetic with 64-bit integers.
_WIDEST, _DEEPEST = 2**24, 2**20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """A score table averaged over its trials.

    Attributes:
        modules: `(n_modules)` rows sorted by module name: module, block, kind, d_in, d_out,
            parameters_per_rank.
        score: Mean over the module's trials, of the sum over its components where it has any,
            `(n_modules,)`.
        components: For a signal with a value for each further rank: those values of every
            module, highest first, at most d of them; None for a signal of one value per module.
    """

    modules: pd.DataFrame
    score: Floats
    components: tuple[Floats, ...] | None = None

    @property
    def is_constant(self) -> bool:
        """Whether there are several modules and all have the same score or components."""
        if self.components is None:
            return len(self.score) > 1 and bool(np.all(self.score == self.score[0]))
        first, *others = self.components
        return bool(others) and all(np.array_equal(first, other) for other in others)


def read_signal(scores: pd.DataFrame) -> Signal:
    """Average a score table over its trials.

    Args:
        scores: `(n_modules * n_trials)` rows with the columns of COLUMNS, or, with a column
            `component`, `(n_modules * n_trials * n_components)`; others are ignored, and so is
            the order of the rows.

    Raises:
        InputError: It is no table, a column is missing or of another type, or values contradict
            each other; every problem at once.
    """
    if not isinstance(scores, pd.DataFrame):
        raise input_error(
            "not a score table",
            where="scores",
            got=type(scores).__name__,
            expected="a table (pandas.DataFrame), as adarank.score returns, or several by signal",
        )
    split = COMPONENT in scores.columns
    _refuse(_column_problems(scores))
    keys = ["module", "trial", *([COMPONENT] if split else [])]
    rows = scores.sort_values(keys, kind="stable", ignore_index=True)
    _refuse(_value_problems(rows, keys))
    modules = rows.groupby("module", sort=True)[ABOUT_MODULE].first().reset_index()
    totals: Any = rows.groupby(["module", "trial"])["score"].sum()
    means = np.asarray(totals.groupby(level="module").mean(), dtype=np.float64)
    # A mean below 0 was refused above, but for what rounding alone makes of it.
    return Signal(modules, np.maximum(means, 0.0), _components(rows) if split else None)


def _components(rows: pd.DataFrame) -> tuple[Floats, ...]:
    """Means over the trials, highest first, of every module."""
    means: Any = rows.groupby(["module", COMPONENT])["score"].mean()
    ends = np.cumsum(np.asarray(means.groupby(level="module").size(), dtype=np.int64))[:-1]
    values = np.asarray(means, dtype=np.float64)
    return tuple(np.sort(part)[::-1] for part in np.split(values, ends))


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InputError(*problems)


def _column_problems(scores: pd.DataFrame) -> list[Problem]:
    missing = [column for column in COLUMNS if column not in scores.columns]
    if missing:
        raise input_error(
            "columns missing",
            where="scores",
            got=list(scores.columns),
            expected=", ".join(COLUMNS),
            remedy=_REMEDY,
        )
    if scores.empty:
        raise input_error(
            "no rows", where="scores", got=0, expected="a row per module and trial", remedy=_REMEDY
        )
    kinds = dict.fromkeys(_WORDS, "text") | dict.fromkeys(_COUNTS, "whole numbers")
    kinds["score"] = "numbers"
    if COMPONENT in scores.columns:
        kinds[COMPONENT] = "whole numbers"
    return [
        Problem(
            "column of another type", f"scores.{column}", f"{scores[column].dtype}", kind, _REMEDY
        )
        for column, kind in kinds.items()
        if not _is(kind, scores[column].to_numpy())
    ]


def _is(kind: str, values: NDArray[Any]) -> bool:
    if kind == "text":
        return all(isinstance(value, str) and value for value in values)
    return np.issubdtype(values.dtype, np.integer if kind == "whole numbers" else np.floating)


def _value_problems(rows: pd.DataFrame, keys: list[str]) -> list[Problem]:
    about = rows.groupby("module")[ABOUT_MODULE].transform("first")
    column = {name: rows[name].to_numpy() for name in COLUMNS}
    # A trial may be below 0 (pseudo-values of kl, batches of unequal weight); a score may not,
    # beyond what rounding leaves of a sum of such trials.
    by = [rows[key] for key in keys if key != "trial"]
    size = rows["score"].abs().groupby(by).transform("mean").to_numpy()
    mean = rows["score"].groupby(by).transform("mean").to_numpy()
    negative = mean < -1e-9 * size
    faults: dict[str, NDArray[np.bool_]] = {
        "score is not a finite number": ~np.isfinite(column["score"]),
        "the module's mean score is negative": negative,
        "a dimension is not positive": np.minimum(column["d_in"], column["d_out"]) < 1,
        f"a dimension is above {_WIDEST}": np.maximum(column["d_in"], column["d_out"]) > _WIDEST,
        f"the block is not 0 to {_DEEPEST}": (column["block"] < 0) | (column["block"] > _DEEPEST),
        "parameters_per_rank is not d_in + d_out": (
            column["parameters_per_rank"] != column["d_in"] + column["d_out"]
        ),
        "the same trial twice": rows.duplicated(keys).to_numpy(),
        "described in two ways": (rows[ABOUT_MODULE].to_numpy() != about.to_numpy()).any(axis=1),
    }
    return [
        _fault(what, rows.iloc[int(bad.argmax())].to_dict(), int(bad.sum()))
        for what, bad in faults.items()
        if bad.any()
    ]


def _fault(what: str, row: dict[Hashable, Any], count: int) -> Problem:
    where = f"scores: {row['module']}, trial {row['trial']}"
    expected = "a finite score, not below 0, and each module described once, in one way"
    return Problem(f"{what} ({count} rows)", where, f"{row}", expected, _REMEDY)
