"""What was taken for what on test: a cell's confusion matrix, all its seeds together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from adarank.errors import input_error
from adarank.pipeline.artifacts.places import CONFUSION
from adarank.pipeline.files.tables import read_tsv
from adarank.pipeline.report.chart import Chart, Table, View, axis, layout, plain
from adarank.pipeline.report.palette import HEAT

MOST_LABELS = 12
"""Labels that have a row and a column of their own, or the numbers could not be read."""

MOST_PAIRS = 20
"""Pairs of labels in the table of a task of more labels than that."""

_ROW, _AROUND, _LONGEST = 26, 150, 18  # pixels, pixels, characters
_NARROW = {"coloraxis": {"showscale": False}, "font": {"size": 10}}

Pair = tuple[str, str]
Confusion = Mapping[Pair, int]
"""How many rows of a label, the first, were predicted as the second."""


def read_confusions(task: str, cells: Sequence[str]) -> dict[str, Confusion]:
    """Count the pairs of a task's cells, over all seeds; cells without rows are left out.

    Raises:
        InputError: A file that is no table of true and predicted labels.
    """
    paths = {cell: CONFUSION / task / f"{cell}.tsv" for cell in cells}
    found = {cell: _read(path) for cell, path in paths.items() if path.exists()}
    return {cell: pairs for cell, pairs in found.items() if pairs}


def _read(path: Path) -> Confusion:
    try:
        table = read_tsv(path, text=True)
        pairs = Counter(zip(table["actual"], table["predicted"], strict=True))
    except (ValueError, KeyError) as error:
        raise input_error(
            "not a table of true and predicted labels",
            where=str(path),
            got=str(error),
            expected="a table with the columns actual and predicted",
            remedy="delete it and run `dvc repro`, which restores or remakes it",
        ) from None
    return dict(sorted(pairs.items()))


def confusion_chart(confusions: Mapping[str, Confusion]) -> Chart | None:
    """Draw a matrix a cell; None where there are no labels."""
    if not confusions:
        return None
    shown, others = _labels(confusions.values())
    about = [
        "A row is the true label, a column the predicted one, over the test rows of all seeds. "
        "The number is the percentage of the row, so that a row adds up to 100; the diagonal is "
        "right. The hover gives the counts. An empty field is 0.",
    ]
    if others:
        about.append(
            f"Of {len(shown) + len(others)} labels, the {len(shown)} with the most errors over all "
            f"cells have a row and a column; the {len(others)} others share the last ones, where "
            "right and wrong answers among them cannot be distinguished. The table lists the "
            f"{MOST_PAIRS} most frequent errors of all labels."
        )
    views = tuple(_view(cell, pairs, shown, others) for cell, pairs in confusions.items())
    return Chart(
        "confusion", "Confusion of labels on test", tuple(about), views, choice="Confusion of"
    )


def _labels(confusions: Iterable[Confusion]) -> tuple[list[str], list[str]]:
    """Split the labels, by name: those shown, with the most errors, and the others."""
    errors: Counter[str] = Counter()
    for pairs in confusions:
        for (actual, predicted), n in pairs.items():
            wrong = n if actual != predicted else 0
            errors.update({actual: wrong})
            errors.update({predicted: wrong})
    if len(errors) <= MOST_LABELS:
        return sorted(errors), []
    # Of equally many errors, the first by name.
    ranked = sorted(errors, key=lambda label: (-errors[label], label))
    return sorted(ranked[:MOST_LABELS]), sorted(ranked[MOST_LABELS:])


def _view(cell: str, pairs: Confusion, shown: Sequence[str], others: Sequence[str]) -> View:
    names = [*shown, *([f"{len(others)} others"] if others else [])]
    counts = _counts(pairs, shown, names)
    rows = [sum(line) for line in counts]
    table = _worst(pairs) if others else _matrix(names, counts, rows)
    return View(cell, _figure(names, counts, rows), _alt(cell, pairs), table, _NARROW)


def _figure(names: Sequence[str], counts: list[list[int]], rows: list[int]) -> go.Figure:
    """Draw each row's shares as a heat map, with the counts on hover."""
    shares = [
        [n / total if total else None for n in line]
        for line, total in zip(counts, rows, strict=True)
    ]
    ticks = {"tickvals": list(range(len(names))), "ticktext": [_short(name) for name in names]}
    figure = go.Figure(
        go.Heatmap(
            z=[[None if s is None else 100 * s for s in line] for line in shares],
            x=ticks["tickvals"],
            y=ticks["tickvals"],
            text=[[_percent(share) for share in line] for line in shares],
            hovertext=[
                [
                    plain(f"{actual} predicted as {predicted}: {n:,} of {total:,} rows")
                    for predicted, n in zip(names, line, strict=True)
                ]
                for actual, line, total in zip(names, counts, rows, strict=True)
            ],
            texttemplate="%{text}",
            hovertemplate="%{hovertext}<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
        )
    )
    plain_axis = {"showgrid": False, "ticks": ""} | ticks
    figure.update_layout(
        **layout(_AROUND + _ROW * len(names)),
        xaxis=axis("predicted", side="top", **plain_axis),
        yaxis=axis("true", autorange="reversed", **plain_axis),
        coloraxis={
            "cmin": 0,
            "cmax": 100,
            "colorscale": [[i / 2, one.light] for i, one in enumerate(HEAT)],
            "colorbar": {"title": {"text": "% of row"}, "thickness": 12, "outlinewidth": 0},
        },
    )
    return figure


def _counts(pairs: Confusion, shown: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Set the counts in a square; labels that are not shown share its last row and column."""
    at = {label: place for place, label in enumerate(shown)}
    counts = [[0] * len(names) for _ in names]
    for (actual, predicted), n in pairs.items():
        counts[at.get(actual, len(shown))][at.get(predicted, len(shown))] += n
    return counts


def _percent(share: float | None) -> str:
    """Write a share in whole percent; what is not all or nothing is not written so."""
    if not share:
        return ""
    if share < 0.01:
        return "<1"
    return ">99" if 0.99 < share < 1 else f"{100 * share:.0f}"


def _short(name: str) -> str:
    return plain(
        name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    )


def _matrix(names: Sequence[str], counts: list[list[int]], rows: Sequence[int]) -> Table:
    lines = (
        (name, *(f"{n:,}" for n in line), f"{total:,}")
        for name, line, total in zip(names, counts, rows, strict=True)
    )
    return Table(("true, by predicted", *names, "rows"), tuple(lines))


def _errors(pairs: Confusion) -> list[tuple[Pair, int]]:
    """List the errors, the most frequent first; of equally frequent ones, by name."""
    wrong = [(pair, n) for pair, n in pairs.items() if pair[0] != pair[1]]
    return sorted(wrong, key=lambda one: (-one[1], one[0]))


def _rows_of(pairs: Confusion) -> Counter[str]:
    rows: Counter[str] = Counter()
    for (actual, _), n in pairs.items():
        rows[actual] += n
    return rows


def _worst(pairs: Confusion) -> Table:
    of, errors = _rows_of(pairs), _errors(pairs)
    lines = [
        (actual, predicted, f"{n:,}", f"{100 * n / of[actual]:.1f}")
        for (actual, predicted), n in errors[:MOST_PAIRS]
    ]
    left = errors[MOST_PAIRS:]
    if left:
        lines.append((f"{len(left):,} other pairs", "", f"{sum(n for _, n in left):,}", ""))
    return Table(("true", "predicted", "rows", "% of the true label's"), tuple(lines))


def _alt(cell: str, pairs: Confusion) -> str:
    right = sum(n for (actual, predicted), n in pairs.items() if actual == predicted)
    worst = "; ".join(f"{a} as {p} {n:,}" for (a, p), n in _errors(pairs)[:5])
    return (
        f"Heat map of the confusion of {cell}: {right:,} of {sum(pairs.values()):,} predictions of "
        f"all seeds are right. Most frequent errors: {worst or 'none'}."
    )
