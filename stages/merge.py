"""Merge the study's adapters by one method, once with every seed."""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
from functools import partial
from pathlib import Path
from typing import Any

import typer

from adarank.errors import RunError
from adarank.merging.learned.learning import Learning
from adarank.pipeline.artifacts.cell import FAILED, Cell, seed_folder
from adarank.pipeline.artifacts.merged import MERGED
from adarank.pipeline.artifacts.model import pick_device
from adarank.pipeline.artifacts.places import MODEL
from adarank.pipeline.artifacts.task import (
    DESCRIPTION,
    read_split,
    sampled,
    task_folder,
)
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.files.whole import folder_sha256, whole_folder, write_json
from adarank.pipeline.merging.of_study import MergeWork, merge_seed
from adarank.pipeline.merging.reads import MergeParams as Params
from adarank.pipeline.merging.reads import Method, batch_sizes, how_read, read_tasks
from adarank.pipeline.merging.runs import MergeRun, merge_run
from adarank.pipeline.params.loader import describe, load
from adarank.pipeline.params.merge import MergeSection
from adarank.pipeline.scratch.deciding import surroundings
from adarank.pipeline.scratch.merging import MergeCheckpoint, cached_or_merged
from adarank.pipeline.scratch.store import Key, make_key, open_store

_ELSEWHERE = {"strategy", "budget", "tasks", "seeds", "methods", "scaling", "rate"}
"""Keys of the section that decide a merge through its members and values."""

app = typer.Typer(add_completion=False)


@app.command(epilog=describe(Params))
def main(method: Method, params: ParamsFile = PARAMS_FILE) -> None:
    """Merge one cell's adapters over the tasks; writes data/merged/METHOD, a folder a seed."""
    with reporting(f"merge-{method}"):
        run(load(Params, params), method)


def run(params: Params, name: str) -> None:
    """Merge every seed; the folder appears when all are done.

    A seed of which a member's training failed is recorded as failed, and the others go on.
    """
    chosen = merge_run(params.merge, name)
    work, store = _work(params, chosen), open_store()
    units = params.merge.steps if chosen.method.learned else len(chosen.grid)
    with (
        whole_folder(MERGED / name) as folder,
        progress(f"merge {name}", units * len(params.seeds)) as advance,
    ):
        for seed in params.seeds:
            output = seed_folder(folder, seed)
            cells = {task: _cell(params, task) for task in work.tasks}
            failed = [f"{c.name}: {f['error']}" for c in cells.values() if (f := c.failure(seed))]
            if failed:
                write_json(output / FAILED, {"error": f"no member: {'; '.join(failed)}"})
                continue
            members = {task: cell.trained(seed)[0] for task, cell in cells.items()}
            merge = partial(_merge, work, members, seed, output, advance=advance)
            cached_or_merged(store, _key(params, work, members, seed), output, merge)


def _merge(
    work: MergeWork,
    members: dict[str, Path],
    seed: int,
    output: Path,
    checkpoint: MergeCheckpoint,
    *,
    advance: Any,
) -> None:
    state = checkpoint.last() if work.run.method.learned else None
    try:
        merge_seed(
            work, members, seed, output, state=state, on_step=checkpoint.save, advance=advance
        )
    except RunError as error:
        # As with training: a seed that diverges is a result.
        problem = error.problems[0]
        write_json(output / FAILED, {"error": f"{problem.where}: {problem.what}"})
        say(f"seed {seed}: FAILED, {problem.where}: {problem.what}")


def _work(params: Params, chosen: MergeRun) -> MergeWork:
    section = params.merge
    tasks = read_tasks(params)
    split = chosen.split(section)
    limit = section.rows if chosen.method.learned else section.validation_rows
    read = {name: sampled(read_split(name, split), limit) for name in tasks} if split else {}
    rows = {name: tasks[name].encode(some).examples for name, some in read.items()}
    _say(chosen, {name: len(some) for name, some in rows.items()}, section)
    learning = Learning(
        steps=section.steps,
        batch=section.batch_size,
        held_back=section.held_back,
        check_every=section.check_every,
        patience=section.patience,
    )
    device = pick_device(params.evaluate.device)
    sizes = batch_sizes(params)
    return MergeWork(chosen, MODEL, tasks, rows, section.rank, learning, sizes, device)


def _say(chosen: MergeRun, rows: dict[str, int], section: MergeSection) -> None:
    said = f"merge {chosen.name}: {chosen.method.name} of {section.strategy}-{section.budget}"
    split = chosen.split(section)
    if split:
        what = "unlabelled rows" if chosen.method.learned else "rows to choose lambda by"
        counts = ", ".join(f"{count} of {name}" for name, count in rows.items())
        said += f"; {what} of {split}: {counts}"
    say(said)
    if split == "test":
        say("TRANSDUCTIVE: these rows, without their labels, are those that it is measured on")


def _cell(params: Params, task: str) -> Cell:
    return Cell(task, params.merge.strategy, str(params.merge.budget))


def _key(params: Params, work: MergeWork, members: dict[str, Path], seed: int) -> Key:
    section, chosen = params.merge, work.run
    split = chosen.split(section)
    files = (DESCRIPTION, *([f"{split}.parquet"] if split else []))
    decides = {
        "method": chosen.method.name,
        "values": dict(chosen.values),
        "grid": chosen.grid,
        "members": {task: folder_sha256(folder) for task, folder in members.items()},
        "data": {task: folder_sha256(task_folder(task), files) for task in members},
        "tasks": how_read(params),
        "settings": section.model_dump(exclude=_ELSEWHERE),
        "model": folder_sha256(MODEL),
        "batch_sizes": dict(work.batch_sizes),
        **surroundings(fingerprint("stages.merge"), work.device),
    }
    what = f"merge {chosen.name} of {section.strategy}-{section.budget}, seed {seed}"
    return make_key("merge", what, seed=seed, **decides)


if __name__ == "__main__":
    app()
