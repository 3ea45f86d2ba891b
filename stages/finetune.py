"""Fine-tune one cell of the study: its plan, once with every seed."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import typer

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError
from adarank.pipeline.artifacts.cell import (
    RATES,
    Budget,
    Cell,
    Strategy,
    StudySeeds,
    Task,
    seed_folder,
)
from adarank.pipeline.artifacts.curves import looks
from adarank.pipeline.artifacts.model import MODEL, load_tokenizer
from adarank.pipeline.artifacts.remote_code import admit_code
from adarank.pipeline.artifacts.task import (
    DESCRIPTION,
    read_description,
    read_split,
    task_folder,
)
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import (
    folder_sha256,
    read_tsv,
    sha256,
    whole_folder,
    write_json,
    write_tsv,
)
from adarank.pipeline.params.finetune import FinetuneSection, settings_of
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.tasks import TasksSection, finetune_of, task_named
from adarank.pipeline.params.whole import tuning_seed_problem
from adarank.pipeline.running.one_run import Work, train_once, train_whole, write_finished
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.store import open_store
from adarank.pipeline.scratch.training import Finished, KeptRuns
from adarank.tasks.base import Encoded
from adarank.tasks.registry import make_task
from adarank.tuning.loop.checkpoint import Checkpoints
from adarank.tuning.loop.rates import Chosen, choose_rate
from adarank.tuning.loop.watch import Trained
from adarank.tuning.tuners.registry import TUNERS


class Params(Slice):
    """What the stage reads."""

    study: StudySeeds
    tasks: TasksSection
    finetune: FinetuneSection
    model: ModelSection

    def of(self, task: str) -> FinetuneSection:
        """Return the finetune section with a task's own values."""
        return finetune_of(self.finetune, self.tasks.find(task))


_READ = (DESCRIPTION, "train.parquet", "validation.parquet")

app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(task: Task, strategy: Strategy, budget: Budget, params: ParamsFile = PARAMS_FILE) -> None:
    """Train a cell once with every seed; writes data/adapters and data/curves."""
    with reporting(f"finetune-{task}-{strategy}-{budget}") as costs, task_named(task):
        costs |= run(load(Params, params), Cell(task, strategy, budget))


def run(params: Params, cell: Cell) -> dict[str, Any]:
    """Choose the learning rate and train every seed; the folders appear when all is done.

    A seed whose training diverges is recorded as failed, and the others go on.

    Returns:
        What the seeds that did not fail cost to train, without the choice of the rate.
    """
    section, seeds = params.of(cell.task), params.study.seeds
    rates = section.learning_rate
    _check_tuning_seed(section, seeds)
    work = _work(params, section, cell)
    kept = _kept(params, section, cell, work)
    runs = len(seeds) + (len(rates) if len(rates) > 1 else 0)
    with (
        whole_folder(cell.adapters) as adapters,
        whole_folder(cell.curves) as curves,
        progress(f"finetune {cell.name}", work.settings.steps * runs) as advance,
    ):
        chosen = _choose(work, kept, rates, section.tuning_seed, advance)
        write_json(adapters / RATES, _rates_record(work, section.tuning_seed, chosen))
        rate = chosen.learning_rate
        kept.tell_found("seed", [(seed, rate) for seed in seeds])
        done: list[Finished] = []
        for seed in seeds:
            folder, curve = seed_folder(adapters, seed), curves / f"seed-{seed}.tsv"
            one = kept.seed(seed, rate, partial(train_whole, work, seed, rate, advance, folder))
            done.append(one.without_files())
            write_finished(one, folder, curve)
        write_tsv(cell.curves.with_name(f"{cell.curves.name}.tsv"), looks(_drawn(curves)))
    return _costs(done, work.settings.device)


def _drawn(folder: Path) -> dict[int, pd.DataFrame]:
    """Read the curves of the seeds that did not fail."""
    found = sorted(folder.glob("seed-*.tsv"), key=_seed_of)
    return {_seed_of(path): read_tsv(path) for path in found}


def _seed_of(path: Path) -> int:
    return int(path.stem.removeprefix("seed-"))


def _kept(params: Params, section: FinetuneSection, cell: Cell, work: Work) -> KeptRuns:
    without = {"learning_rate", "tuning_seed", "device", "bf16"}
    decides = {
        "plan": sha256(cell.plan),
        "data": folder_sha256(task_folder(cell.task), _READ),
        "task": asdict(params.tasks.find(cell.task).options),
        "finetune": section.model_dump(exclude=without),
        "bf16": work.settings.bf16,
        **surroundings("stages.finetune", torch.device(work.settings.device)),
    }
    return KeptRuns(open_store(), f"finetune {cell.name}", decides)


def _costs(runs: list[Finished], device: str) -> dict[str, Any]:
    seconds, tokens = sum(run.seconds for run in runs), sum(run.tokens for run in runs)
    told: dict[str, Any] = {"training_seconds": round(seconds, 3), "tokens": tokens}
    if seconds:
        told["tokens_per_second"] = round(tokens / seconds, 1)
    if device == "cuda":
        told["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return told


def _check_tuning_seed(section: FinetuneSection, seeds: list[int]) -> None:
    if len(section.learning_rate) > 1 and section.tuning_seed in seeds:
        raise InputError(tuning_seed_problem(section.tuning_seed, seeds))


def _work(params: Params, section: FinetuneSection, cell: Cell) -> Work:
    plan = cell.read_plan()
    admit_code(MODEL, trusted=params.model.trust_remote_code)
    task = make_task(
        read_description(cell.task),
        load_tokenizer(MODEL),
        section.max_length,
        params.tasks.find(cell.task).options,
    )
    learned, looked_at = (
        task.encode(read_split(cell.task, split)) for split in ("train", "validation")
    )
    rows = task.for_training(learned.examples)
    _tell(cell, plan, len(rows), learned, looked_at)
    settings = settings_of(section, task)
    tuner = TUNERS[plan.tuner]
    return Work(plan, tuner, task, rows, looked_at.examples, settings, section.dropout)


def _choose(
    work: Work, kept: KeptRuns, rates: list[float], tuning_seed: int, advance: Callable[[], None]
) -> Chosen:
    metric = work.settings.select_by
    kept.tell_found("rate", [(tuning_seed, rate) for rate in rates if len(rates) > 1])

    def train_at(rate: float) -> Trained:
        def run(checkpoints: Checkpoints) -> Trained:
            return train_once(work, tuning_seed, rate, advance, checkpoints).trained

        return kept.tried(tuning_seed, rate, run)

    chosen = choose_rate(
        rates,
        train_at,
        metric,
        work.task.better[metric],
    )
    for one in chosen.tried:
        value = "undefined" if one.value is None else f"{one.value:.4f}"
        said = one.error or f"validation {metric} {value} at step {one.step}"
        say(f"learning rate {one.learning_rate:g}, seed {tuning_seed}: {said}")
    return chosen


def _rates_record(work: Work, tuning_seed: int, chosen: Chosen) -> dict[str, Any]:
    return {
        "learning_rate": chosen.learning_rate,
        "select_by": work.settings.select_by,
        "tuning_seed": tuning_seed if chosen.tried else None,
        "tried": chosen.to_json(),
    }


def _tell(cell: Cell, plan: RankPlan, examples: int, learned: Encoded, looked_at: Encoded) -> None:
    cut = learned.truncated + looked_at.truncated
    lost = learned.uncounted + looked_at.uncounted
    say(
        f"finetune {cell.name}: {plan.tuner}, {len(plan.adapted)} of {len(plan.modules)} modules "
        f"have a rank, {plan.parameters} parameters"
        + (f", {plan.draws} draws of the ranks by seed" if plan.variants else "")
        + f"; {examples} rows to learn from, {len(looked_at.examples)} to select by"
        + (f", {cut} of them cut" if cut else "")
        + (f", {lost} of these to nothing" if lost else "")
    )


if __name__ == "__main__":
    app()
