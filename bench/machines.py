"""How far results differ between machines: the same stages under other threads and processors.

Run: python -m bench.machines FOLDER, a folder with params.yaml and what `python -m stages.download
` and `python -m stages.download_task --task questions` made of it. Each variant gets a copy; the
table compares with the first, one thread and all that the processor can do. See
docs/DETERMINISM.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from adarank.allocation.plan import RankPlan
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import read_json, sha256

OURS = Path(__file__).parents[1]
BUDGET = 8
STEPS = 20
TASK = "questions"
CELL = f"uniform-{BUDGET}"


@dataclass(frozen=True)
class Variant:
    """One way to run the same stages.

    Attributes:
        name: What differs.
        environment: Variables set for every stage.
        score: Keys of the section score that differ.
        trains: Whether it fine-tunes too.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    score: dict[str, str] = field(default_factory=dict[str, str])
    trains: bool = False


def _processor(name: str) -> dict[str, str]:
    """Variables that keep PyTorch, oneDNN and MKL to what a processor's kind can do."""
    kernels = {"ATEN_CPU_CAPABILITY": name}
    isa = {"default": "SSE41", "avx2": "AVX2"}.get(name)
    return kernels | ({"ONEDNN_MAX_CPU_ISA": isa, "MKL_ENABLE_INSTRUCTIONS": "AVX2"} if isa else {})


VARIANTS = (
    Variant("one thread", trains=True),
    Variant("one thread, again", trains=True),
    Variant("two threads", {"OMP_NUM_THREADS": "2"}, trains=True),
    Variant("kernels for AVX-512", _processor("avx512")),
    Variant("kernels for AVX2", _processor("avx2"), trains=True),
    Variant("kernels for any x86-64", _processor("default"), trains=True),
    Variant("bfloat16", score={"precision": "bfloat16"}),
)


@dataclass(frozen=True)
class Outcome:
    """What a variant came to.

    Attributes:
        score_bytes: Hash of the score table.
        scores: Mean score by module.
        ranks: Rank by module, by disagreement at BUDGET.
        adapter: The trained tensors; None where it did not train.
        loss: Validation loss at the last look.
    """

    score_bytes: str
    scores: dict[str, float]
    ranks: dict[str, int]
    adapter: dict[str, Any] | None
    loss: float | None


def main(
    folder: Annotated[Path, typer.Argument(help="params.yaml, data/model, data/tasks.")],
) -> None:
    """Run every variant and print how far it is from the first."""
    first: Outcome | None = None
    typer.echo("variant\tsame bytes\tscores\tranks\tadapter\tvalidation loss")
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory() as place:
            outcome = _outcome(variant, Path(shutil.copytree(folder, Path(place) / "project")))
        first = first or outcome
        typer.echo(_row(variant.name, first, outcome))


def _outcome(variant: Variant, project: Path) -> Outcome:
    _set_params(project / "params.yaml", variant.score)
    _stage(variant, project, "score", "--signal", "disagreement")
    _stage(variant, project, "allocate", "--strategy", "disagreement", "--budget", f"{BUDGET}")
    table = project / "data/scores/model/disagreement.parquet"
    plan = RankPlan.from_json(read_json(project / f"data/plans/disagreement-{BUDGET}/{TASK}.json"))
    of_module = read_parquet(table)[0].groupby("module")["score"]
    scores = {str(name): float(np.mean(part.to_numpy())) for name, part in of_module}
    adapter, loss = _trained(variant, project) if variant.trains else (None, None)
    return Outcome(sha256(table), scores, plan.ranks, adapter, loss)


def _trained(variant: Variant, project: Path) -> tuple[dict[str, Any], float]:
    plan = ["--strategy", "uniform", "--budget", f"{BUDGET}"]
    _stage(variant, project, "allocate", *plan)
    _stage(variant, project, "finetune", "--task", TASK, *plan)
    weights = load_file(project / f"data/adapters/{TASK}/{CELL}/seed-0/adapter_model.safetensors")
    curve = pd.read_csv(project / f"data/curves/{TASK}/{CELL}/seed-0.tsv", sep="\t")
    looked = [column for column in curve if "validation" in column and "loss" in column]
    return weights, float(curve[looked[0]].dropna().iloc[-1])


def _set_params(path: Path, score: dict[str, str]) -> None:
    yaml = YAML()
    params = yaml.load(path)
    params["probe"]["source"] = str(OURS / "adarank/pipeline/builtin/sentences.txt")
    params["score"].update({"estimator": "linearized", "device": "cpu", **score})
    params["finetune"].update({"steps": STEPS, "evaluate_every": STEPS, "device": "cpu"})
    params["study"]["seeds"] = [0]
    yaml.dump(params, path)


def _stage(variant: Variant, project: Path, stage: str, *options: str) -> None:
    plain = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(OURS), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", f"stages.{stage}", *options]
    environment = os.environ | plain | variant.environment
    subprocess.run(command, cwd=project, env=environment, check=True, stderr=subprocess.DEVNULL)


def _row(name: str, first: Outcome, found: Outcome) -> str:
    relative = max(abs(found.scores[m] - score) / score for m, score in first.scores.items())
    moved = sum(found.ranks[name] != rank for name, rank in first.ranks.items())
    row = [name, "yes" if found.score_bytes == first.score_bytes else "no", f"{relative:.1e}"]
    row.append(f"{moved} of {len(first.ranks)}")
    if found.adapter is None or first.adapter is None:
        return "\t".join([*row, "-", "-"])
    worst = max(np.abs(found.adapter[key] - first.adapter[key]).max() for key in first.adapter)
    largest = max(np.abs(tensor).max() for tensor in first.adapter.values())
    loss = abs((found.loss or 0.0) - (first.loss or 0.0))
    return "\t".join([*row, f"{worst:.1e} of {largest:.2f}", f"{loss:.1e} of {first.loss:.4f}"])


if __name__ == "__main__":
    typer.run(main)
