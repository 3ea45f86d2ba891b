"""The cost model of training against measured times and memory, plan by plan.

    python -m bench.training_cost [--model FOLDER] [--texts CSV] [--steps 20] [--rounds 3]

Every plan is trained with the shortcuts (stored prefix, last row) and without, in a plain loop on
one thread: collating, both passes, clipping and AdamW. Processor seconds a step are fitted as
a + FLOPs / rate, two constants of the machine for all rows of the table; the error is of that fit.
Memory is what autograd keeps after one batch's forward pass.
"""

import time
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
from adarank.tuning.loop.batches import LengthBatches, length
from adarank.tuning.seeds import generator
from adarank.tuning.shortcuts.shortcuts import PrefixStore, shortcuts
from bench.training_runs import Effort, Subject, attached, make_subject

WARM = 2
"""Steps before the timed ones: first-time allocations."""

PLANS = ("uniform", "mlp_only", "last_3_blocks", "last_2_blocks")
Folder = Annotated[Path, typer.Option("--model", help="A model folder.")]
Texts = Annotated[Path | None, typer.Option(help="A CSV: text, label_coarse; else questions.")]
Rounds = Annotated[
    int, typer.Option(min=1, help="Loops of each plan, of which the median is taken.")
]
Steps = Annotated[int, typer.Option(min=2, help="Timed steps of a loop.")]


def main(model: Folder = MODEL, texts: Texts = None, rounds: Rounds = 3, steps: Steps = 20) -> None:
    """Print a row a plan, with the shortcuts and without."""
    with reporting("bench-training-cost"):
        torch.set_num_threads(1)
        subjects = {plan: make_subject(model, texts, plan, Effort(steps)) for plan in PLANS}
        rows = [row_of(subjects[plan], on, steps, rounds) for on in (True, False) for plan in PLANS]
        table = fitted(pd.DataFrame(rows))
        typer.echo(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))


def row_of(subject: Subject, on: bool, steps: int, rounds: int) -> dict[str, Any]:
    """Count what a plan's step should cost, and measure its time and what autograd keeps of it."""
    headed, modules = subject.build()
    model = attached(subject, headed, subject.plan)
    batch = subject.task.collate(alike(subject, 16))
    tokens = batch["input_ids"].shape[1]
    context = shortcuts(model, modules, subject.task, subject.rows, PrefixStore())
    with context if on else nullcontext():
        kept = kept_bytes(model, subject, batch)
        timed = [_timed_steps(model, subject, modules, steps, on) for _ in range(rounds)]
    per_row = cost_of(subject, modules, tokens, on)
    return {
        "plan": subject.plan,
        "shortcuts": on,
        "gflop": timed[0][1],
        "seconds": float(np.median([seconds for seconds, _ in timed])),
        "kept_mib": kept / 2**20,
        "kept_predicted": 16 * per_row.kept_bytes / 2**20,
    }


def _timed_steps(
    model: torch.nn.Module, subject: Subject, modules: list[Module], steps: int, on: bool
) -> tuple[float, float]:
    """Take steps in a plain loop; gives the mean processor seconds and counted GFLOP of one."""
    lengths = [length(row) for row in subject.rows]
    order = list(LengthBatches(lengths, 16, generator(0, "order")))[: steps + WARM]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    seconds = gflop = 0.0
    for number, rows in enumerate(order):
        began = time.process_time()
        batch = subject.task.collate([subject.rows[index] for index in rows])
        subject.task.loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if number >= WARM:
            seconds += time.process_time() - began
            tokens = batch["input_ids"].shape[1]
            gflop += 16 * cost_of(subject, modules, tokens, on).flops / 1e9
    return seconds / (len(order) - WARM), gflop / (len(order) - WARM)


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
