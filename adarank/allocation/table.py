"""The score table: one row a module and trial in, one row a module out."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.errors import InputError, Problem, input_error

ABOUT_MODULE = ["block", "kind", "d_in", "d_out", "parameters_per_rank"]
COLUMNS = ["module", *ABOUT_MODULE, "trial", "score"]
_WORDS = ["module", "kind"]
_COUNTS = ["block", "d_in", "d_out", "parameters_per_rank", "trial"]
_REMEDY = "score again: `dvc repro`"


def per_module(scores: pd.DataFrame) -> pd.DataFrame:
    """Average a score table over its trials.

    Args:
        scores: `(n_modules * n_trials)` rows with the columns of COLUMNS; others are
            ignored, and so is the order of the rows.

    Returns:
        `(n_modules)` rows sorted by module name: module, block, kind, d_in, d_out,
        parameters_per_rank, score (the mean over the module's trials).

    Raises:
        InputError: A column is missing or of another type, or values contradict each
            other; every problem at once.
    """
    _refuse(_column_problems(scores))
    rows = scores.sort_values(["module", "trial"], kind="stable", ignore_index=True)
    _refuse(_value_problems(rows))
    grouped = rows.groupby("module", sort=True)
    table = grouped[ABOUT_MODULE].first()
    table["score"] = [float(np.mean(group.to_numpy())) for _, group in grouped["score"]]
    return table.reset_index()


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
        raise input_error("no rows", where="scores", expected="a row per module and trial")
    kinds = dict.fromkeys(_WORDS, "text") | dict.fromkeys(_COUNTS, "whole numbers")
    kinds["score"] = "numbers"
    return [
        Problem("column of another type", f"scores.{column}", f"{scores[column].dtype}", kind)
        for column, kind in kinds.items()
        if not _is(kind, scores[column].to_numpy())
    ]


def _is(kind: str, values: NDArray[Any]) -> bool:
    if kind == "text":
        return all(isinstance(value, str) and value for value in values)
    return np.issubdtype(values.dtype, np.integer if kind == "whole numbers" else np.floating)


def _value_problems(rows: pd.DataFrame) -> list[Problem]:
    about = rows.groupby("module")[ABOUT_MODULE].transform("first")
    column = {name: rows[name].to_numpy() for name in COLUMNS}
    faults: dict[str, NDArray[np.bool_]] = {
        "score is not a finite number": ~np.isfinite(column["score"]),
        "score is negative": column["score"] < 0,
        "a dimension is not positive": np.minimum(column["d_in"], column["d_out"]) < 1,
        "parameters_per_rank is not d_in + d_out": (
            column["parameters_per_rank"] != column["d_in"] + column["d_out"]
        ),
        "the same trial twice": rows.duplicated(["module", "trial"]).to_numpy(),
        "described in two ways": (rows[ABOUT_MODULE].to_numpy() != about.to_numpy()).any(axis=1),
    }
    return [
        _fault(what, rows.iloc[int(bad.argmax())].to_dict(), int(bad.sum()))
        for what, bad in faults.items()
        if bad.any()
    ]


def _fault(what: str, row: dict[Hashable, Any], count: int) -> Problem:
    where = f"scores: {row['module']}, trial {row['trial']}"
    return Problem(f"{what} ({count} rows)", where, f"{row}", remedy=_REMEDY)
