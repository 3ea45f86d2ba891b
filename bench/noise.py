"""How far the linearized score is from the exact one as the noise grows.

    python -m bench.noise [--model FOLDER] [--trials 20] [--rows 32] [--output docs/figures]

At each noise scale, two exact runs of half the trials each: their mean is the reference, and the
distance between the two shows how far it can be trusted. Linearized shares do not depend on the
scale, which multiplies every score alike, so they are computed once: of single sketches (the mean
over several seeds of one run's distance) and of many sketches together. Writes
linearized-distance.tsv and .svg.
"""

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import typer
from matplotlib.figure import Figure

from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import reporting, say
from adarank.pipeline.files.tables import write_tsv
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.noise import Noise
from bench.agreement import module_means, spearman, total_variation
from bench.subjects import Subject, pretrained

SCALES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.6, 1.0, 1.4, 2.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
SKETCHES = 16
NAME = "linearized-distance"
app = typer.Typer(add_completion=False)
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Trials = Annotated[int, typer.Option(min=2, help="Trials of the exact score at each scale.")]
Rows = Annotated[int, typer.Option(min=1, help="Texts of the probe.")]
Output = Annotated[Path, typer.Option(help="Where the table and the figure go.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def main(
    model: Folder = MODEL,
    trials: Trials = 20,
    rows: Rows = 32,
    output: Output = Path("docs/figures"),
    device: Device = "auto",
) -> None:
    """Measure and draw the linearized score's distance against the noise scale."""
    with reporting("bench-noise"):
        torch.set_num_threads(1)
        subjects = {
            size: pretrained(model, rows, size, pick_device(device))
            for size in BATCH_SIZES
            if size <= max(8, rows)
        }
        exact_halves = {scale: _halves(subjects[8], scale, trials) for scale in SCALES}
        table = by_scale(subjects[8], exact_halves)
        write_tsv(output / f"{NAME}.tsv", table)
        draw(table, output / f"{NAME}.svg")
        write_tsv(output / "linearized-batches.tsv", by_batch_size(subjects, exact_halves))


def by_scale(subject: Subject, exact_halves: dict[float, list[np.ndarray]]) -> pd.DataFrame:
    """Compare linearized with exact at each noise scale.

    Args:
        subject: With batches of the default size.
        exact_halves: By noise scale, two independent exact scores, each of shape (n_modules,).

    Returns:
        A row a scale: noise, distance and spearman (one default run, mean over SKETCHES seeds),
        distance_many and spearman_many (the mean of those runs), distance_exact (between the
        two halves of the exact score), mean_exact and mean_linearized (over modules).
    """
    runs = _runs(subject)
    rows = [
        {"noise": scale} | compare(runs, halves, scale) for scale, halves in exact_halves.items()
    ]
    return _rounded(pd.DataFrame(rows))


def by_batch_size(
    subjects: dict[int, Subject], exact_halves: dict[float, list[np.ndarray]]
) -> pd.DataFrame:
    """Compare linearized with exact for each batch size, at the smallest noise and at 1.

    Returns:
        A row for each noise and batch size: those and the columns of `compare`.
    """
    rows: list[dict[str, float]] = []
    for size, subject in subjects.items():
        runs = _runs(subject)
        for scale in (min(exact_halves), 1.0):
            given = {"noise": scale, "batch_size": size}
            rows.append(given | compare(runs, exact_halves[scale], scale))
    table = pd.DataFrame(rows).sort_values(["noise", "batch_size"])
    return _rounded(table).astype({"batch_size": int})


def compare(runs: np.ndarray, halves: list[np.ndarray], scale: float) -> dict[str, float]:
    """Hold linearized runs at noise scale 1, (n_runs, n_modules), against exact's two halves."""
    wanted, many = np.mean(halves, axis=0), runs.mean(axis=0)
    return {
        "distance": float(np.mean([total_variation(run, wanted) for run in runs])),
        "spearman": float(np.mean([spearman(run, wanted) for run in runs])),
        "distance_many": total_variation(many, wanted),
        "spearman_many": spearman(many, wanted),
        "distance_exact": total_variation(halves[0], halves[1]),
        "mean_exact": float(wanted.mean()),
        "mean_linearized": float(scale * many.mean()),
    }


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the table: distance above, rank correlation below, noise on a logarithmic axis."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    lines = (("distance", "one sketch", "o-"), ("distance_many", f"{SKETCHES} sketches", "s-"))
    for column, label, style in lines:
        above.semilogx(table["noise"], table[column], style, label=label)
    above.semilogx(table["noise"], table["distance_exact"], "k:", label="exact, half to half")
    above.set(ylabel="total variation of shares", ylim=(0, None))
    above.legend(title="linearized, to exact")
    for column, style in (("spearman", "o-"), ("spearman_many", "s-")):
        below.semilogx(table["noise"], table[column], style)
    below.set(ylabel="Spearman", xlabel="noise, in standard deviations of each weight")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date and with fixed ids, the same table gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": NAME}):
        figure.savefig(path, metadata={"Date": None})


def _runs(subject: Subject) -> np.ndarray:
    tables = [
        linearized(subject.model, subject.batches, subject.modules, Linearized(seed=seed))
        for seed in range(SKETCHES)
    ]
    return np.array([module_means(table) for table in tables])


def _halves(subject: Subject, scale: float, trials: int) -> list[np.ndarray]:
    say(f"bench: exact at noise {scale:g}, twice {trials // 2} trials")
    settings = [Exact(trials=trials // 2, noise=Noise(scale), seed=seed) for seed in (0, 1)]
    return [
        module_means(exact(subject.model, subject.batches, subject.modules, one).table)
        for one in settings
    ]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.map(lambda value: float(f"{value:.4g}"))


if __name__ == "__main__":
    app()
