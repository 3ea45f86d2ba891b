"""Score tables: one row per module and trial, and their summary per module."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adarank.models.modules import Module

COLUMNS = ("module", "block", "kind", "d_in", "d_out", "parameters_per_rank", "trial", "score")


def score_table(modules: Sequence[Module], scores: np.ndarray) -> pd.DataFrame:
    """Lay out scores as a table.

    Args:
        modules: The scored modules, in order.
        scores: Shape (n_modules, n_trials).

    Returns:
        Columns COLUMNS, n_modules * n_trials rows, modules in the given order.
    """
    rows = [
        (*_about(module), trial, float(value))
        for module, values in zip(modules, scores, strict=True)
        for trial, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def spectrum_table(modules: Sequence[Module], spectra: Sequence[np.ndarray]) -> pd.DataFrame:
    """Lay out scores that come rank by rank.

    Args:
        modules: The scored modules, in order.
        spectra: A module's components, highest first, shape (n_components of the module,).

    Returns:
        Columns COLUMNS with `component`, counted from 0, before `score`; a row per module and
        component, all of trial 0.
    """
    rows = [
        (*_about(module), 0, component, float(value))
        for module, values in zip(modules, spectra, strict=True)
        for component, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS[:-1], "component", COLUMNS[-1]])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce a score table to the mean and its standard error per module.

    The components of a spectrum are added up first.

    Returns:
        Columns module, block, kind, mean, standard_error (sd / sqrt(n_trials), ddof 1;
        NaN for one trial), a row per module in the table's order.
    """
    about = ["module", "block", "kind"]
    if "component" in table.columns:
        table = table.groupby([*about, "trial"], sort=False, as_index=False).agg({"score": "sum"})
    result = table.groupby(about, sort=False)["score"].agg(mean="mean", standard_error="sem")
    return result.reset_index()


def _about(m: Module) -> tuple[str, int, str, int, int, int]:
    return m.name, m.block, m.kind, m.d_in, m.d_out, m.parameters_per_rank
