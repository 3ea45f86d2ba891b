"""Directions of a module's input space, kept in a score table beside their components."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adarank.models.modules import Module
from adarank.scoring.table import spectrum_table

DIRECTION = "direction"
"""The column of a component's unit vector, a list of d_in float32 numbers."""


def directions_table(
    modules: Sequence[Module], spectra: Sequence[np.ndarray], directions: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Lay out components and their directions; `directions_of` reads them back.

    Each direction's sign is free, and chosen so that its largest entry is positive.

    Args:
        modules: The scored modules, in order.
        spectra: A module's components, highest first, shape (n_components of the module,).
        directions: Their unit vectors, shape (n_components, d_in).

    Returns:
        As `spectrum_table`, with the column DIRECTION besides.
    """
    rows: list[np.ndarray] = []
    for each in directions:
        largest = np.take_along_axis(each, np.abs(each).argmax(axis=1)[:, None], axis=1)
        rows += list((each * np.where(largest < 0, -1, 1)).astype(np.float32))
    return spectrum_table(modules, spectra).assign(**{DIRECTION: pd.Series(rows, dtype=object)})
