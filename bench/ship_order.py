"""Train the comparator behind the strategy `sortnet`, and write the file that the package holds.

    python -m bench.ship_order FOLDER FOLDER ... [--trials 4] [--cache FOLDER] [--output FILE]

Each FOLDER is a model as `bench.module_order` takes it, with a line in source.txt: where it can
be had, and which version. All of them are learned from; what such a comparator is worth on a
model that it has not seen is `bench.module_order`'s to measure. Equal inputs give equal bytes, on
the same machine with the same versions. Needs the extra `letor`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import sklearn
import torch
import transformers
import typer
from transformers import AutoModel

import adarank
from adarank.errors import input_error
from adarank.ordering.learned import LearnedOrder, TrainingModel, weight_hash
from adarank.ordering.learned_order import module_weight
from adarank.ordering.stored_order import SHIPPED, to_json
from adarank.pipeline.console.reporting import say, telling_errors
from adarank.pipeline.files.whole import write_bytes
from bench.module_order import (
    HELD_OUT,
    SORTNET_SETTINGS,
    Cache,
    Trials,
    fit_sortnet,
    profile_of,
    stacked,
)
from bench.module_scores import Scored, scored

SEED = 0

app = typer.Typer(add_completion=False)
Folders = Annotated[list[Path], typer.Argument(help="Model folders, each with a source.txt.")]
Output = Annotated[Path, typer.Option(help="The file to write.")]


@app.command()
def main(
    folders: Folders,
    trials: Trials = 4,
    cache: Cache = Path("data/module-scores"),
    output: Output = SHIPPED,
) -> None:
    """Learn an order of modules from some models, and write it."""
    with telling_errors("bench-ship-order"):
        torch.set_num_threads(1)
        described = [_described(folder) for folder in folders]
        text = to_json(learn([scored(folder, cache, trials) for folder in folders], described))
        write_bytes(output, text.encode())
        say(f"bench: {output}, {len(text):,} bytes, learned from {len(folders)} models")


def learn(models: Sequence[Scored], described: Sequence[TrainingModel]) -> LearnedOrder:
    """Train a comparator on some models' modules, and describe how.

    A feature that never varies in training, such as a kind that no model has, gets weight 0: its
    random initial weight says nothing.
    """
    net = fit_sortnet(models, SEED)
    names = tuple(models[0].features.columns)
    items, logs, groups = stacked(models)
    constant = torch.from_numpy(items.std(axis=0) == 0)
    with torch.no_grad():
        net.comparator_.first[constant] = 0
        net.comparator_.second[constant] = 0
    table = np.ascontiguousarray(np.column_stack([items, logs, groups]), dtype="<f8")
    about: dict[str, Any] = {
        "made_by": "python -m bench.ship_order, with the models below",
        "seed": SEED,
        "settings": {**SORTNET_SETTINGS, "held_out": HELD_OUT},
        "modules": len(items),
        "training_table_sha256": hashlib.sha256(table.tobytes()).hexdigest(),
        "kept_iteration": net.best_iteration_,
        "features_without_weight": [
            name for name, none in zip(names, constant.tolist(), strict=True) if none
        ],
        "versions": {one.__name__: one.__version__ for one in (np, sklearn, torch)},
    }
    profile = profile_of(models)
    return LearnedOrder(
        net.comparator_, names, net.mean_, net.scale_, profile, tuple(described), about
    )


def _described(folder: Path) -> TrainingModel:
    line = folder / "source.txt"
    if not line.exists():
        raise input_error(
            "where the model comes from is not known",
            where=str(line),
            expected="one line: a source and its version",
            remedy="echo 'pypi:PACKAGE==VERSION' > source.txt, in the model's folder",
        )
    transformers.logging.set_verbosity_error()
    model: Any = AutoModel.from_pretrained(folder, dtype="float32")
    modules = adarank.find_modules(model)
    first = [module for module in modules if module.block == 0]
    return TrainingModel(
        folder.name,
        line.read_text(encoding="utf-8").strip(),
        tuple(dict.fromkeys(module.kind for module in modules)),
        tuple(weight_hash(module_weight(model, module).weight) for module in first),
    )


if __name__ == "__main__":
    app()
