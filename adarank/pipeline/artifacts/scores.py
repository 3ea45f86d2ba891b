"""What a scoring stage writes and prints, whichever signal it computed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from adarank.models.bias_norm import BIAS_NORM
from adarank.models.modules import Module
from adarank.models.norms import find_bias_norm
from adarank.pipeline.artifacts.places import SCORE_METRICS, SCORES
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import write_drawable
from adarank.scoring.scores import Scores
from adarank.scoring.table import summary

if TYPE_CHECKING:
    from torch import nn

    from adarank.models.coverage import Coverage


def about_modules(
    model: "nn.Module", modules: Sequence[Module], reapplied: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Print, and return for the metrics, what is peculiar about the modules.

    Args:
        model: Whose they are; its biases and norms go into the table's footer.
        modules: What is scored.
        reapplied: Applications of each block that is applied more than once; None where no text
            goes through the model.
    """
    shared = {module.name: list(module.aliases) for module in modules if module.aliases}
    if shared:
        say(f"score: {len(shared)} modules share their weight with others; scored once, together")
    for block, times in (reapplied or {}).items():
        say(f"score: block {block} is applied {times} times; scored for all of them at once")
    return {
        "shared_weights": shared,
        "reapplied_blocks": dict(reapplied or {}),
        BIAS_NORM: asdict(find_bias_norm(model, modules)),
    }


def about_coverage(coverage: "Coverage") -> dict[str, Any]:
    """Print, and return for the metrics, what of the blocks is covered and what is left out."""
    for line in coverage.lines():
        say(f"score: {line}")
    parts = [
        {"what": part.what, "share": part.share, "names": list(part.names)}
        for part in coverage.left_out
    ]
    return {"covered_share": coverage.share, "left_out": parts}


def write_scores(
    place: str,
    signal: str,
    estimator: str,
    scores: Scores,
    facts: Mapping[str, Any],
    model_sha256: str,
) -> None:
    """Write data/scores/PLACE/SIGNAL.parquet, and its summary metrics/scores/PLACE/SIGNAL.json.

    Args:
        place: The task whose rows were used, or `OF_MODEL`.
        signal: Names the files.
        estimator: How the signal was estimated; its own name where there is but one way.
        scores: The table, and what it took.
        facts: What else the summary keeps.
        model_sha256: The hash of the model scored.
    """
    say(f"score: computed by {scores.engine}")
    note = {"signal": signal, "estimator": estimator, "model_sha256": model_sha256}
    note |= {BIAS_NORM: facts[BIAS_NORM]} if BIAS_NORM in facts else {}
    write_parquet(SCORES / place / f"{signal}.parquet", scores.table, note)
    record = {
        **{name: fact for name, fact in facts.items() if name != BIAS_NORM},
        "estimator": estimator,
        "engine": scores.engine,
        "forwards": scores.forwards,
        "trials": scores.table["trial"].nunique(),
        "modules": [_plottable(row) for row in summary(scores.table).to_dict("records")],
    }
    write_drawable(SCORE_METRICS / place / f"{signal}.json", record)


def _plottable(row: dict[Any, Any]) -> dict[Any, Any]:
    error = row["standard_error"]
    known = error == error
    low, high = (row["mean"] + side * error if known else row["mean"] for side in (-1.96, 1.96))
    return {**row, "standard_error": error if known else None, "low": low, "high": high}
