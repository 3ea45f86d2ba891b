"""The figure of `bench.landscape`: plans' losses, and a surface's predictions of plans left out."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from adarank.allocation.surface import Surface

BLUE, RED = "#1b6ca8", "#c8553d"
Floats = NDArray[np.float64]


def draw(task: str, groups: dict[str, Floats], apart: Floats, surface: Surface, path: Path) -> None:
    """Draw every run's test loss by group, and predicted against measured losses.

    Args:
        task: For the title.
        groups: Test losses by group: uniform, random plans ...
        apart: Losses of the random plans on test, less uniform's of the same seed.
        surface: Whose predictions of plans left out are drawn.
        path: An SVG, the same bytes for the same runs.
    """
    mpl.rcParams["svg.hashsalt"] = "adarank"
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    left, right = axes
    for at, losses in enumerate(groups.values()):
        # Beside one another in the order of the runs, so that none hides another.
        spread = at + np.linspace(-0.25, 0.25, len(losses))
        left.plot(spread, losses, ".", color=RED if at == 0 else BLUE)
        left.hlines(losses.mean(), at - 0.3, at + 0.3, color="black", linewidth=1)
    left.set_xticks(range(len(groups)), [name.replace("_", "\n") for name in groups], fontsize=8)
    left.set_ylabel(f"test loss, {task}")
    right.plot(surface.left_out, apart, ".", color=BLUE)
    ends = [min(surface.left_out.min(), apart.min()), max(surface.left_out.max(), apart.max())]
    right.plot(ends, ends, color="grey", linewidth=0.8)
    right.set_xlabel("predicted, the plan left out")
    right.set_ylabel("measured less uniform's")
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
