"""Every merging method on real members: absolute accuracy, and as a share of each member's own.

    python -m bench.merging_members --model MODEL --data DATA --output MEMBERS
    python -m bench.merging_study --model MODEL --data DATA --members MEMBERS/lora-0 \\
        --output RESULTS

A file a run, so that what is done is not done again. lambda is chosen on validation rows; learned
methods read unlabelled train rows; test rows are read once a run.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.learning import Learning
from adarank.merging.learned.merge import merge_learned
from adarank.merging.parameters import Value
from adarank.merging.registry import METHODS
from adarank.merging.task_vectors import Member, Vector, dense
from adarank.pipeline.artifacts.model import load_model, load_tokenizer
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.heads import unlabelled, with_heads
from adarank.pipeline.merging.reading import read_members
from adarank.tasks.texts import pad_texts
from bench.merging_members import LABELS, MAX_LENGTH, Split, split_task

GRIDS: dict[str, tuple[float, ...]] = {
    "task_arithmetic": (0.3, 0.5, 0.8),
    "ties": (0.5, 1.0, 2.0),
    "dare": (0.3, 0.5, 0.8),
    "dare_ties": (0.5, 1.0, 2.0),
    "tsv_m": (0.5, 1.0, 1.5),
    "iso_c": (0.5, 1.0, 2.0),
    "cart": (0.5, 1.0, 1.6),
    "knots_ties": (0.5, 1.0, 2.0),
    "core_space": (0.5, 1.0, 2.0),
}


@dataclass(frozen=True)
class Run:
    """One merge: a method, its parameters, and for a learned one its share of the rows."""

    name: str
    method: str
    values: Mapping[str, Value]
    share: float = 1.0


RUNS = (
    Run("task_arithmetic", "task_arithmetic", {}),
    Run("adarank (task arithmetic)", "adarank", {}),
    Run("cart", "cart", {"ratio": 0.04}),
    Run("adarank (cart)", "adarank", {"origin": "cart"}),
    Run("average", "average", {}),
    Run("tsv_m", "tsv_m", {}),
    Run("adarank masks only", "adarank", {"learn": "masks_only"}),
    Run("adarank lambdas only", "adarank", {"learn": "lambdas_only"}),
    Run("ties", "ties", {}),
    Run("adarank 1 % of rows", "adarank", {}, 0.01),
    Run("iso_c", "iso_c", {}),
    Run("adarank (tsv_m)", "adarank", {"origin": "tsv_m"}),
    Run("knots_ties", "knots_ties", {}),
    Run("core_space (ties)", "core_space", {"inner": "ties"}),
    Run("adarank 10 % of rows", "adarank", {}, 0.1),
    Run("adamerging", "adamerging", {}),
    Run("dare", "dare", {}),
    Run("dare_ties", "dare_ties", {}),
)


class Bench:
    """The base, the members with their heads on it, and their rows."""

    def __init__(self, model: Path, data: Path, folder: Path, test: int, validation: int) -> None:
        """Read everything; encode the rows."""
        self.base = read_base(model)
        self.members = read_members(self.base, {task: folder / task for task in LABELS})
        self.body = load_model(model).eval().requires_grad_(False)
        self.models = with_heads(self.base, self.body, self.members)
        self.tokenizer = load_tokenizer(model)
        self.splits: dict[str, Split] = {task: split_task(data, task, test) for task in LABELS}
        self.validation = validation

    def accuracy(self, vectors: Mapping[str, Vector], part: str) -> dict[str, float]:
        """Each task's accuracy with these vectors added to the body."""
        before = self._add(vectors)
        found = {
            task: self._task_accuracy(model, self.splits[task], part)
            for task, model in zip(LABELS, self.models, strict=True)
        }
        self._restore(before)
        return found

    @torch.no_grad()
    def _add(self, vectors: Mapping[str, Vector]) -> dict[str, Tensor]:
        weights = dict(self.body.named_parameters())
        before = {name: weights[name].detach().clone() for name in vectors}
        for name, vector in vectors.items():
            weights[name].add_(dense(vector).to(weights[name]))
        return before

    @torch.no_grad()
    def _restore(self, before: Mapping[str, Tensor]) -> None:
        weights = dict(self.body.named_parameters())
        for name, tensor in before.items():
            weights[name].copy_(tensor)

    @torch.no_grad()
    def _task_accuracy(self, model: nn.Module, split: Split, part: str) -> float:
        rows = split.test if part == "test" else split.validation.iloc[: self.validation]
        ids = self.tokenizer(rows["text"].tolist(), truncation=True, max_length=MAX_LENGTH)
        labels = torch.tensor(rows["label"].tolist())
        order = sorted(range(len(rows)), key=lambda i: len(ids["input_ids"][i]))  # pyright: ignore[reportArgumentType]
        hits = 0
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            examples: list[Any] = [{k: ids[k][i] for k in ids} for i in chosen]  # pyright: ignore[reportIndexIssue]
            batch = pad_texts(self.tokenizer, examples)
            hits += int((model(**batch).logits.argmax(-1) == labels[chosen]).sum())
        return hits / len(order)


def closed(bench: Bench, run: Run) -> dict[str, Any]:
    """Merge by a closed form; lambda by the mean accuracy on validation."""
    method, validation = METHODS[run.method], {}
    values = dict(run.values)
    for scaling in GRIDS.get(run.method, ()):
        tried = {**values, "scaling": scaling}
        merged = dict(MergedWeights(bench.members, method, tried))
        validation[scaling] = _mean(bench.accuracy(merged, "validation"))
    if validation:
        values["scaling"] = max(validation, key=lambda s: validation[s])
    merged = dict(MergedWeights(bench.members, method, values))
    return {
        "values": values,
        "validation": validation,
        "test": bench.accuracy(merged, "test"),
    }


def learned(bench: Bench, run: Run, learning: Learning) -> dict[str, Any]:
    """Merge by a learned method, on a share of the unlabelled train rows."""
    texts = {
        task: split.train["text"].tolist()[: max(10, round(run.share * len(split.train)))]
        for task, split in bench.splits.items()
    }
    members = bench.members
    models = [(model, bench.base.prefix) for model in bench.models]
    rows = unlabelled(models, members, texts, bench.tokenizer, MAX_LENGTH)
    merged = merge_learned(bench.body, members, METHODS[run.method], run.values, rows, learning)
    kept = [row for row in merged.ranks if row.leading is not None]
    return {
        "values": dict(run.values),
        "test": bench.accuracy(merged.vectors, "test"),
        "history": merged.state.history,
        "best_step": merged.state.best_step,
        "components": sum(row.components for row in merged.ranks),
        "kept": sum(row.kept for row in merged.ranks),
        "leading": sum(row.leading or 0.0 for row in kept) / len(kept) if kept else None,
        "ranks": [vars(row) for row in merged.ranks],
    }


def individual(bench: Bench) -> dict[str, Any]:
    """Every member alone, on its own task."""
    own: dict[str, float] = {}
    for member in bench.members:
        own[member.task] = bench.accuracy(_alone(member), "test")[member.task]
    return {"test": own}


def _alone(member: Member) -> dict[str, Vector]:
    return {name: member.vectors[name] for name in member.vectors}


def _mean(scores: Mapping[str, float]) -> float:
    return sum(scores.values()) / len(scores)


def main(
    model: Annotated[Path, typer.Option(help="The base model's folder.")],
    data: Annotated[Path, typer.Option(help="A folder a task.")],
    members: Annotated[Path, typer.Option(help="A folder a task: the members of one seed.")],
    output: Annotated[Path, typer.Option(help="Gets a JSON file a run.")],
    steps: Annotated[int, typer.Option(help="Steps of learned methods.")] = 60,
    batch: Annotated[int, typer.Option(help="Rows of each task a step.")] = 8,
    rate: Annotated[float, typer.Option(help="Adam's rate of learned methods.")] = 5e-3,
    test: Annotated[int, typer.Option(help="Test rows of each task.")] = 300,
    validation: Annotated[int, typer.Option(help="Validation rows of each task.")] = 60,
) -> None:
    """Do what is not done yet, and print the table."""
    torch.set_num_threads(1)
    bench = Bench(model, data, members, test, validation)
    output.mkdir(parents=True, exist_ok=True)
    learning = Learning(steps=steps, batch=batch, held_back=0.02, check_every=20, patience=0)
    _once(output, "individual", lambda: individual(bench))
    _once(output, "base", lambda: {"test": bench.accuracy({}, "test")})
    for run in RUNS:
        if METHODS[run.method].learned:
            timed = Run(run.name, run.method, {**run.values, "rate": rate}, run.share)
            _once(output, run.name, lambda r=timed: learned(bench, r, learning))
        else:
            _once(output, run.name, lambda r=run: closed(bench, r))
    show(output, ["individual", "base", *(run.name for run in RUNS)])


def _once(output: Path, name: str, work: Any) -> None:
    path = output / f"{name}.json"
    if path.exists():
        return
    start = time.process_time()
    found = work() | {"cpu_seconds": time.process_time() - start}
    path.write_text(json.dumps(found, indent=1))
    typer.echo(f"{name}: {_mean(found['test']):.4f} ({found['cpu_seconds']:.0f} s)")


def show(output: Path, names: Sequence[str]) -> None:
    """Print the table in Markdown: accuracy by task, their mean, and the mean normalised."""
    own = json.loads((output / "individual.json").read_text())["test"]
    typer.echo(f"| method | {' | '.join(LABELS)} | mean | normalised | lambda | kept | leading |")
    typer.echo(f"| --- |{' ---: |' * (len(LABELS) + 5)}")
    for name in names:
        if not (output / f"{name}.json").exists():
            continue
        found = json.loads((output / f"{name}.json").read_text())
        scores = found["test"]
        normalised = _mean({task: scores[task] / own[task] for task in own})
        cells = [f"{scores[task]:.3f}" for task in LABELS]
        kept = f"{found['kept'] / found['components']:.2f}" if found.get("components") else ""
        leading = f"{found['leading']:.2f}" if found.get("leading") else ""
        scaling = str(found.get("values", {}).get("scaling", ""))
        line = [name, *cells, f"{_mean(scores):.3f}", f"{normalised:.3f}", scaling, kept, leading]
        typer.echo(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    typer.run(main)
