"""The cost model of training against measured times and memory, plan by plan.

    python -m bench.training_cost [--model FOLDER] [--texts CSV] [--steps 20] [--rounds 3]

Every plan is trained with the shortcuts (stored prefix, last row) and without, in turns, on one
thread. Seconds a step are fitted as a + FLOPs / rate, two constants of the machine for all rows of
the table; the error is of that fit. Memory is what autograd keeps after one batch's forward pass.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from adarank.allocation.cost import Cost, training_cost
from adarank.models.modules import Module
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.console.reporting import reporting
from adarank.tasks.base import Batch
from adarank.tuning.loop.batches import length
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from bench.training_runs import Effort, Subject, attached, make_subject, ours

PLANS = ("uniform", "mlp_only", "last_3_blocks", "last_2_blocks")
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Texts = Annotated[Path | None, typer.Option(help="A CSV: text, label_coarse; else questions.")]
Rounds = Annotated[int, typer.Option(min=1, help="Runs of each plan.")]
Steps = Annotated[int, typer.Option(min=2, help="Optimiser steps of each run.")]


def main(model: Folder = MODEL, texts: Texts = None, rounds: Rounds = 3, steps: Steps = 20) -> None:
    """Print a row a plan, with the shortcuts and without."""
    with reporting("bench-training-cost"):
        torch.set_num_threads(1)
        effort = Effort(steps, rounds)
        cases = [(make_subject(model, texts, plan, effort), on) for plan in PLANS for on in (1, 0)]
        stores = {plan: PrefixStore() for plan in PLANS}
        seconds: list[list[float]] = [[] for _ in cases]
        for turn in range(rounds + 1):  # the first, with first-time allocations, is not counted
            for at in range(len(cases))[:: -1 if turn % 2 else 1]:
                subject, on = cases[at]
                run = ours(subject, effort, stores[subject.plan] if on else None)
                seconds[at] += [run.seconds / steps] if turn else []
        table = pd.DataFrame([row_of(subject, bool(on)) for subject, on in cases])
        table["seconds"] = [float(np.median(of_case)) for of_case in seconds]
        typer.echo(fitted(table).to_string(index=False, float_format=lambda x: f"{x:.3f}"))


def row_of(subject: Subject, on: bool) -> dict[str, Any]:
    """Count what a plan's step should cost, and measure what autograd keeps of it."""
    headed, modules = subject.build()
    model = attached(subject, headed, subject.plan)
    batch = subject.task.collate(alike(subject, 16))
    tokens = batch["input_ids"].shape[1]
    context = shortcuts(model, modules, subject.task, subject.rows, PrefixStore())
    with context if on else nullcontext():
        kept = kept_bytes(model, subject, batch)
    per_row = cost_of(subject, modules, tokens, on)
    mean = cost_of(subject, modules, round(subject.tokens), on)
    return {
        "plan": subject.plan,
        "shortcuts": on,
        "gflop": 16 * mean.flops / 1e9,
        "kept_mib": kept / 2**20,
        "kept_predicted": 16 * per_row.kept_bytes / 2**20,
    }


def alike(subject: Subject, n: int) -> list[dict[str, Any]]:
    """Pick rows of the commonest length, so that a batch of them is not padded."""
    lengths = [length(row) for row in subject.rows]
    common = max(set(lengths), key=lengths.count)
    return [row for row, size in zip(subject.rows, lengths, strict=True) if size == common][:n]


def cost_of(subject: Subject, modules: list[Module], tokens: int, on: bool) -> Cost:
    """Count a plan's cost per row."""
    ranks = subject.plans[subject.plan].ranks
    return training_cost(modules, ranks, tokens, stored_prefix=on, last_row=on)


def kept_bytes(model: torch.nn.Module, subject: Subject, batch: Batch) -> int:
    """Count what a forward pass keeps for the backward, weights and inputs left out."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    own |= {tensor.untyped_storage().data_ptr() for tensor in batch.values()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = subject.task.loss(model, batch)
    del loss
    return sum(kept.values())


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Fit seconds = a + gflop / rate, and add what it predicts and its relative errors."""
    flops, seconds = table["gflop"].to_numpy(), table["seconds"].to_numpy()
    columns = np.stack([np.ones_like(flops), flops], axis=1) / seconds[:, None]
    constants = np.linalg.lstsq(columns, np.ones_like(flops))[0]  # least relative squares
    predicted = constants[0] + constants[1] * flops
    return table.assign(
        predicted=predicted,
        error=predicted / seconds - 1,
        kept_error=table["kept_predicted"] / table["kept_mib"] - 1,
    )


if __name__ == "__main__":
    typer.run(main)
