"""The figure of `bench.letor`: what active selection buys against random pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#1b6ca8", "#c8553d")
Curves = Mapping[str, Sequence[tuple[int, float]]]


def draw(seeds: Sequence[Curves], path: Path) -> None:
    """Draw validation MAP against the number of training pairs, one thin line per seed.

    Args:
        seeds: Per seed and method, (pairs, validation MAP) after each iteration.
        path: An SVG, the same bytes for the same curves.
    """
    mpl.rcParams["svg.hashsalt"] = "adarank"
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for colour, name in zip(COLOURS, seeds[0], strict=True):
        curves = [np.array(one[name], dtype=float) for one in seeds]
        for pairs, values in (curve[1:].T for curve in curves):
            axes.plot(pairs, values, color=colour, alpha=0.25, linewidth=0.8)
        # A run that found nothing more to add is shorter.
        shortest = min(len(curve) for curve in curves)
        mean = np.mean([curve[1:shortest] for curve in curves], axis=0)
        axes.plot(*mean.T, color=colour, linewidth=2, label=name)
    axes.set_xlabel("training pairs")
    axes.set_ylabel("MAP on the validation part")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
