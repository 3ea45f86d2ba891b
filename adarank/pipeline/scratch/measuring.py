"""What a cell's seeds came to, measured, in the scratch store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adarank.pipeline.artifacts.cell import Record
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.tables import as_parquet, from_parquet
from adarank.pipeline.scratch.entry import of_files
from adarank.pipeline.scratch.store import Key, Store


@dataclass(frozen=True)
class Measured:
    """What one seed came to, measured.

    Attributes:
        predictions: A row per row of validation and test, with columns seed and split.
        rows: A record per split: seed, split, n, headline and the metrics.
        trained: What fine-tuning recorded of it, and the loaded model was found to hold.
        error: Why there are no rows: what it predicts is not finite. None where it is.
    """

    predictions: pd.DataFrame
    rows: list[dict[str, Any]]
    trained: Record
    error: str | None = None


def tell_found(store: Store, label: str, keys: Mapping[int, Key]) -> None:
    """Print which seeds are cached, if any."""
    found = [str(seed) for seed, key in keys.items() if store.has(key)]
    if found:
        say(f"{label}: seeds {', '.join(found)} taken from {store.name}")


def kept_or_measured(store: Store, key: Key, measure: Callable[[], Measured]) -> Measured:
    """Look up, or make, what a seed came to."""
    with store.held(key):
        entry = store.get(key)
        if entry is None:
            one = measure()
            note = {"rows": one.rows, "trained": one.trained, "error": one.error}
            entry = of_files({"predictions": as_parquet(one.predictions)}, note)
            store.put(key, entry)
    # Also what was just measured takes this way, so that both are the same to the bit.
    return Measured(from_parquet(entry.files["predictions"]), **entry.note)
