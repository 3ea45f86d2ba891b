"""Fine-tune one cell of the study: its plan, once with every seed."""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from adarank.allocation.plan import RankPlan
from adarank.allocation.starts import SIGNALS as START_SIGNALS
from adarank.errors import InputError, input_error, run_error
from adarank.pipeline.artifacts.cell import (
    RATES,
    TRAINED,
    Budget,
    Cell,
    Strategy,
    StudySeeds,
    Task,
    seed_folder,
)
from adarank.pipeline.artifacts.curves import looks, rank_history, read_curves
from adarank.pipeline.artifacts.model import form_of, load_tokenizer
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.remote_code import register_code
from adarank.pipeline.artifacts.task import (
    DESCRIPTION,
    read_description,
    read_split,
    task_folder,
)
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.tables import write_tsv
from adarank.pipeline.files.whole import (
    folder_sha256,
    read_json,
    sha256,
    whole_folder,
    write_json,
)
from adarank.pipeline.params.finetune import (
    FinetuneSection,
    optimizer_problem,
    tuning_seed_problems,
)
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.tasks import TasksSection, finetune_of, task_named
from adarank.pipeline.running.group import CellRuns
from adarank.pipeline.running.one_run import CURVE, Work
from adarank.pipeline.running.parts import Part, candidates, part_from, tries
from adarank.pipeline.running.settings import checked_form, settings_of
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.store import open_store
from adarank.pipeline.scratch.training import CachedRuns
from adarank.pipeline.sources.base import base_of_study
from adarank.tasks.base import Encoded
from adarank.tasks.registry import make_task
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.rates import Rates, choose_rates
from adarank.tuning.loop.watch import Trained
from adarank.tuning.saving import name_base, read_tensors
from adarank.tuning.shortcuts.shortcuts import PrefixStore
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
Only = Annotated[
    str | None,
    typer.Option(
        help="Train these runs alone into the scratch store: seed:0:2 or, of those from which the "
        "rates are chosen, rate:0:2."
    ),
]


@app.command(epilog=describe(Params))
def main(
    task: Task,
    strategy: Strategy,
    budget: Budget,
    params: ParamsFile = PARAMS_FILE,
    only: Only = None,
) -> None:
    """Train a cell once with every seed; writes data/adapters and data/curves."""
    with reporting(f"finetune-{task}-{strategy}-{budget}") as costs, task_named(task):
        loaded, cell = load(Params, params), Cell(task, strategy, budget)
        costs |= run(loaded, cell) if only is None else run_part(loaded, cell, part_from(only))


def run(params: Params, cell: Cell) -> dict[str, Any]:
    """Choose the rates and train every seed; the folders appear when all is done.

    A seed whose training diverges is recorded as failed, and the others go on.

    Returns:
        What the seeds that did not fail cost to train, without the choice of the rates.
    """
    section, work, cached = _begun(params, cell)
    seeds, base = params.study.seeds, base_of_study()
    steps = work.settings.steps * (len(seeds) + len(tries(section, work.plan)))
    with (
        whole_folder(cell.adapters) as adapters,
        whole_folder(cell.curves) as curves,
        progress(f"finetune {cell.name}", steps) as advance,
    ):
        runs = CellRuns(work, cached, section.together, advance)
        rates = _chosen_rates(work, runs, section, adapters)
        runs.prepare("seed", [(seed, rates) for seed in seeds], partial(seed_folder, adapters))
        done: list[Trained] = []
        for seed in seeds:
            folder = seed_folder(adapters, seed)
            try:
                done.append(runs.seed(seed, rates, folder))
            except DivergedError:
                continue  # its failed.json says so
            # Not before: a base by another name is no reason to train again.
            name_base(folder, *base)
            shutil.move(folder / CURVE, curves / f"seed-{seed}.tsv")
            if changes := read_json(folder / TRAINED).get("rank_changes"):
                write_tsv(curves / f"ranks-{seed}.tsv", rank_history(changes))
        write_tsv(cell.curves.with_name(f"{cell.curves.name}.tsv"), looks(read_curves(curves)))
    return _costs(done, work.settings.device)


def run_part(params: Params, cell: Cell, part: Part) -> dict[str, Any]:
    """Train some of a cell's runs into the scratch store; a run that is there is not trained.

    The seeds need the rates: what they are chosen from is trained first where it is not there.

    Returns:
        What the runs cost that did not diverge.

    Raises:
        InputError: There is no scratch store.
        RunError: What was trained could not be written.
    """
    section, work, cached = _begun(params, cell)
    if not cached.keeps:
        raise input_error("parts need the scratch store", where="ADARANK_SCRATCH", got="off")
    done: list[Trained] = []
    with (
        tempfile.TemporaryDirectory(prefix="adarank-") as name,
        progress(f"{cell.name}, {part}", work.settings.steps * part.size) as advance,
    ):
        place = partial(seed_folder, Path(name))
        runs = CellRuns(work, cached, section.together, advance)
        if part.kind == "rate":
            chosen = part.of(tries(section, work.plan))
            runs.prepare("rate", chosen)
        else:
            rates = _chosen_rates(work, runs, section, Path(name))
            chosen = [(seed, rates) for seed in part.of(params.study.seeds)]
            runs.prepare("seed", chosen, place)
        for seed, rates in chosen:
            with suppress(DivergedError):  # which the store now says
                rate = part.kind == "rate"
                run = runs.rate(seed, rates) if rate else runs.seed(seed, rates, place(seed))
                done.append(run)
    if not cached.keeps:
        what, remedy = "this part's runs could not be kept", "make room, or name another"
        raise run_error(what, where="ADARANK_SCRATCH", got=str(part), remedy=remedy)
    return _costs(done, work.settings.device)


def _begun(params: Params, cell: Cell) -> tuple[FinetuneSection, Work, CachedRuns]:
    section = params.of(cell.task)
    if problems := tuning_seed_problems(section, params.study.seeds):
        raise InputError(*problems)
    work = _work(params, section, cell)
    return section, work, _cached(params, section, cell, work)


def _cached(params: Params, section: FinetuneSection, cell: Cell, work: Work) -> CachedRuns:
    # Which runs were trained at once is in the keys of these runs alone.
    without = {"learning_rate", "rate_ratio", "tuning_seed", "device", "bf16", "together"}
    decides = {
        "plan": sha256(cell.plan),
        "directions": sha256(cell.directions) if work.directions else None,
        "data": folder_sha256(task_folder(cell.task), _READ),
        "task": asdict(params.tasks.find(cell.task).options),
        "finetune": section.model_dump(exclude=without),
        "bf16": work.settings.bf16,
        "form": asdict(work.form),
        **surroundings(fingerprint("stages.finetune"), torch.device(work.settings.device)),
    }
    return CachedRuns(open_store(), f"finetune {cell.name}", decides)


def _costs(runs: list[Trained], device: str) -> dict[str, Any]:
    seconds, tokens = sum(run.seconds for run in runs), sum(run.tokens for run in runs)
    costs: dict[str, Any] = {"training_seconds": round(seconds, 3), "tokens": tokens}
    costs["runs"] = len(runs)
    if seconds:
        costs["tokens_per_second"] = round(tokens / seconds, 1)
    if device == "cuda":
        costs["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return costs


def _work(params: Params, section: FinetuneSection, cell: Cell) -> Work:
    plan = cell.read_plan()
    if problem := optimizer_problem(section, cell.strategy, plan.tuner):
        raise InputError(problem)
    register_code(MODEL, trusted=params.model.trust_remote_code)
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
    runs = len(params.study.seeds) + len(tries(section, plan))
    passes = runs * settings.steps * settings.batch_size / len(rows)
    return Work(
        plan=plan,
        tuner=tuner,
        task=task,
        train=rows,
        validation=looked_at.examples,
        settings=settings,
        dropout=section.dropout,
        directions=read_tensors(cell.directions) if plan.start in START_SIGNALS else {},
        base_dropout=section.base_dropout,
        prefixes=PrefixStore(section.prefix_cache_gb, passes),
        form=checked_form(form_of(params.model), plan.tuner, bias_norm=plan.bias_norm is not None),
        checkpointing=section.gradient_checkpointing,
    )


def _chosen_rates(work: Work, runs: CellRuns, section: FinetuneSection, adapters: Path) -> Rates:
    """Choose the rates on validation, and write down from what they were chosen."""
    seeds, metric = section.tuning_seed, work.settings.select_by
    runs.prepare("rate", tries(section, work.plan))

    def train_at(rates: Rates, seed: int) -> Trained:
        return runs.rate(seed, rates)

    chosen = choose_rates(
        candidates(section, work.plan), seeds, train_at, metric, work.task.better[metric]
    )
    for one in chosen.tried:
        value = "undefined" if one.value is None else f"{one.value:.4f}"
        said = one.error or f"validation {metric} {value} at step {one.step}"
        say(f"learning rate {one.rates}, seed {one.seed}: {said}")
    record = {
        **asdict(chosen.rates),
        "select_by": metric,
        "tuning_seed": seeds if chosen.tried else None,
        "tried": chosen.to_json(),
    }
    write_json(adapters / RATES, record)
    return chosen.rates


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
