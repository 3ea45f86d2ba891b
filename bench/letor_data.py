"""LETOR data: two parquet files, or LETOR's own text files, into arrays by query."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_svmlight_files

from adarank.errors import input_error

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Judged documents.

    Attributes:
        items: Features, shape (n_documents, n_features).
        grades: Relevance, shape (n_documents,).
        queries: Label of each document's query, shape (n_documents,).
    """

    items: Floats
    grades: Floats
    queries: NDArray[Any]

    @property
    def places(self) -> list[NDArray[np.intp]]:
        """Row numbers of each query, in the order of their labels."""
        return [np.flatnonzero(self.queries == query) for query in np.unique(self.queries)]

    @property
    def unequal_pairs(self) -> int:
        """How many pairs of documents of one query differ in relevance."""
        lists = (self.grades[rows] for rows in self.places)
        return sum(int((grades[:, None] > grades[None, :]).sum()) for grades in lists)

    def of(self, chosen: NDArray[np.bool_]) -> "Part":
        """Keep some documents."""
        return Part(self.items[chosen], self.grades[chosen], self.queries[chosen])


def read(folder: Path) -> dict[str, Part]:
    """Read the parts of a folder: `train` and `test`, and `vali` where there is one.

    Either NAME.parquet (columns relevance, qid, f1 ...) or NAME.txt (svmlight with qid:, which
    is LETOR's own form).

    Raises:
        InputError: train or test is in neither form, or a file cannot be read.
    """
    for suffix, reader in ((".parquet", _parquet), (".txt", _svmlight)):
        paths = {name: folder / f"{name}{suffix}" for name in ("train", "vali", "test")}
        found = {name: path for name, path in paths.items() if path.exists()}
        if {"train", "test"} <= set(found):
            try:
                return reader(found)
            except (ValueError, KeyError, OSError) as error:
                raise input_error("not LETOR data", where=str(folder), got=str(error)) from None
    raise input_error(
        "no LETOR data here",
        where=str(folder),
        expected="train.parquet and test.parquet, or train.txt and test.txt with qid:",
    )


def carve(train: Part, share: float, seed: int) -> tuple[Part, Part]:
    """Split whole queries off for validation.

    Returns:
        What is left to train on, and the validation part.
    """
    queries = np.unique(train.queries)
    shuffled = np.random.default_rng(seed).permutation(queries)
    held_out = np.isin(train.queries, shuffled[: round(share * len(queries))])
    return train.of(~held_out), train.of(held_out)


def _parquet(paths: dict[str, Path]) -> dict[str, Part]:
    tables = {name: pd.read_parquet(path) for name, path in paths.items()}
    return {
        name: Part(
            table.drop(columns=["relevance", "qid"]).to_numpy(dtype=np.float64),
            table["relevance"].to_numpy(dtype=np.float64),
            table["qid"].to_numpy(),
        )
        for name, table in tables.items()
    }


def _svmlight(paths: dict[str, Path]) -> dict[str, Part]:
    # All at once, so that a feature that is zero throughout one file keeps its column.
    loaded: Any = load_svmlight_files([str(path) for path in paths.values()], query_id=True)
    triples = [loaded[start : start + 3] for start in range(0, len(loaded), 3)]
    return {
        name: Part(items.toarray(), grades, queries)
        for name, (items, grades, queries) in zip(paths, triples, strict=True)
    }
