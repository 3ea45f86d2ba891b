"""Directions of the modules' input spaces, read from a score table that has them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adarank.allocation.signal import COMPONENT
from adarank.errors import input_error

DIRECTION = "direction"


def directions_of(table: pd.DataFrame) -> dict[str, NDArray[np.float32]]:
    """Read the directions from a table of `gradient_directions` or `input_directions`.

    Returns:
        Orthonormal rows by module name, the best first, shape (n_components, d_in).

    Raises:
        InputError: The table has none.
    """
    if DIRECTION not in table.columns:
        raise input_error(
            "the table has no directions",
            where="scores",
            got=", ".join(map(str, table.columns)),
            expected=f"a column {DIRECTION}",
            remedy="score gradient_directions or input_directions",
        )
    ordered = table.sort_values(["module", COMPONENT], kind="stable")
    grouped = ordered.groupby("module", sort=True)[DIRECTION]
    return {str(name): np.stack(list(rows)).astype(np.float32) for name, rows in grouped}
