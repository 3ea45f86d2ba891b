"""Is there a second descent? The losses at the end of every run of a finished study, by rank.

Reads data/curves of a study whose budgets are ranks (studies/double-descent.yaml): its validation
rows, and no test row. Run: python -m bench.double_descent [--figure FILE.svg]
"""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

CURVES = Path("data/curves")
LAST = 10
"""Steps whose train losses are averaged at the end."""

MEASURES = {
    "train_loss": "train loss",
    "validation_loss": "validation loss",
    "error": "validation error, %",
}
_DIGITS = {"train_loss": 3, "validation_loss": 2, "error": 1}

app = typer.Typer(add_completion=False)


def ends(task: str, strategy: str, curves: Path = CURVES) -> pd.DataFrame:
    """Read how every run of a strategy ended: a row per budget and seed.

    Returns:
        rank (the budget), seed, train_loss (mean over the last steps, noisy labels and all),
        validation_loss, error in percent and effective_rank, at the last step.
    """
    rows = [
        _end(path, float(folder.name.removeprefix(f"{strategy}-")))
        for folder in (curves / task).glob(f"{strategy}-*")
        if folder.is_dir()
        for path in folder.glob("seed-*.tsv")
    ]
    return pd.DataFrame(rows).sort_values(["rank", "seed"], ignore_index=True)


def _end(path: Path, rank: float) -> dict[str, float]:
    curve: Any = pd.read_csv(path, sep="\t")
    last = curve.iloc[-1]
    return {
        "rank": rank,
        "seed": int(path.stem.removeprefix("seed-")),
        "train_loss": curve["train_loss"].tail(LAST).mean(),
        "validation_loss": last["validation_loss"],
        "error": 100 * (1 - last["validation_accuracy"]),
        "effective_rank": last["effective_rank"],
    }


def draw(found: Any, path: Path) -> None:
    """Draw losses and error against the rank: a dot a seed, a line through the means."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "adarank"
    figure, (losses, errors) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for name, axes in (("train_loss", losses), ("validation_loss", losses), ("error", errors)):
        means = found.groupby("rank")[name].mean()
        (line,) = axes.plot(means.index, means.to_numpy(), label=MEASURES[name])
        axes.plot(found["rank"], found[name], ".", color=line.get_color(), alpha=0.5)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("average rank")
    losses.set_ylabel("loss at the end")
    losses.legend()
    errors.set_ylabel(MEASURES["error"])
    figure.savefig(path, metadata={"Date": None})


@app.command()
def main(
    task: Annotated[str, typer.Option(help="The study's task.")] = "questions_with_noise",
    strategy: Annotated[str, typer.Option(help="Whose budgets are compared.")] = "uniform",
    figure: Annotated[Path | None, typer.Option(help="An SVG or PNG to draw.")] = None,
) -> None:
    """Print mean and standard deviation over seeds by rank; draw them with --figure."""
    found: Any = ends(task, strategy)
    table = Table("rank", "seeds", *MEASURES.values(), "effective rank")
    for rank, runs in found.groupby("rank"):
        shown = [f"{runs[k].mean():.{d}f} ± {runs[k].std():.{d}f}" for k, d in _DIGITS.items()]
        table.add_row(f"{rank:g}", str(len(runs)), *shown, f"{runs['effective_rank'].mean():.2f}")
    Console().print(table)
    if figure is not None:
        draw(found, figure)


if __name__ == "__main__":
    app()
