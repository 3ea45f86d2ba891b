"""LETOR data: two parquet files, or LETOR's own text files, into arrays by query."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_svmlight_files

from adarank.errors import InputError, Problem, input_error

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

    Args:
        folder: A folder; `file:FOLDER`, as sources are written elsewhere, is the same.

    Raises:
        InputError: train or test is in neither form, a file cannot be read, or its values are
            none that can be ranked: every problem at once.
    """
    folder = Path(str(folder).removeprefix("file:"))
    for suffix, reader in ((".parquet", _parquet), (".txt", _svmlight)):
        paths = {name: folder / f"{name}{suffix}" for name in ("train", "vali", "test")}
        found = {name: path for name, path in paths.items() if path.exists()}
        if {"train", "test"} <= set(found):
            try:
                parts = reader(found)
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise input_error("not LETOR data", where=str(folder), got=str(error)) from None
            problems = [p for name, part in parts.items() for p in _problems(part, found[name])]
            widths = {name: part.items.shape[1] for name, part in parts.items()}
            if len(set(widths.values())) > 1:
                what, expected = "unequal numbers of features", "the same features in every part"
                problems.append(Problem(what, str(folder), widths, expected))
            if problems:
                raise InputError(*problems)
            return parts
    raise input_error(
        "no LETOR data here",
        where=str(folder),
        expected="train.parquet and test.parquet, or train.txt and test.txt with qid:",
    )


def _problems(part: Part, path: Path) -> list[Problem]:
    """List what of a part cannot be ranked."""
    n_rows, where = len(part.items), str(path)
    if not n_rows:
        return [Problem("no documents", where, 0, "a line per judged document")]
    found: list[Problem] = []
    if len(part.queries) != n_rows:
        got = f"{n_rows} documents, {len(part.queries)} of them with qid:"
        return [Problem("documents without a query", where, got, "qid:N on every line")]
    bad = ~np.isfinite(part.items).all(axis=1)
    if bad.any():
        got = f"{int(bad.sum())} documents, the first in row {int(bad.argmax()) + 1}"
        found.append(Problem("features are not finite", where, got, "finite numbers"))
    if not (part.grades >= 0).all():
        lowest = float(part.grades.min())
        found.append(Problem("a grade is negative or missing", where, lowest, "grades from 0 on"))
    elif path.stem == "train" and not part.unequal_pairs:
        got = f"{len(part.places)} queries, each of one grade or one document"
        expected = "a query with documents of two grades"
        found.append(Problem("no pair of documents to learn from", where, got, expected))
    return found


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
