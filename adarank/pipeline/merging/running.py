"""One merge from folders to a folder, as the command makes it, and the report of any merge."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from adarank.errors import input_error
from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.learning import Learning
from adarank.merging.learned.merge import Learned
from adarank.merging.learned.state import State
from adarank.merging.parameters import Value
from adarank.merging.registry import complete, method_named
from adarank.merging.task_vectors import Vector, excluded_of
from adarank.models.tensors import write_tensors
from adarank.pipeline.files.whole import whole_folder, write_bytes, write_json
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.merge import check_texts, learn_from_folders
from adarank.pipeline.merging.reading import read_members
from adarank.pipeline.merging.writing import Written, write_full, write_lora

RECORD = "merge.json"
COEFFICIENTS = "coefficients.safetensors"
_SAVE_EVERY = 10


@dataclass(frozen=True)
class Request:
    """What to merge, how, and into what.

    Attributes:
        base: The base model's folder.
        members: By task: an adapter's or a model's folder.
        method: A name of the registry.
        values: Parameters that differ from the method's defaults.
        texts: By task: unlabelled texts, for learned methods.
        budget: Average rank of the adapter to write; None: the whole model.
        learning: Of learned methods.
        checkpoint: A file that a learned method's state is saved in and read from.
        max_length: Longest text in tokens.
        seed: Of what is random in a closed form.
        on_step: Gets a learned method's state after every step.
    """

    base: Path
    members: Mapping[str, Path]
    method: str
    values: Mapping[str, Value] = field(default_factory=dict[str, Value])
    texts: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    budget: float | None = None
    learning: Learning = field(default_factory=Learning)
    checkpoint: Path | None = None
    max_length: int = 128
    seed: int = 0
    on_step: Callable[[State], None] | None = None


@dataclass(frozen=True)
class Report:
    """What was merged.

    Attributes:
        method: Its name.
        values: All its parameters.
        tasks: The members.
        weights: How many weights were merged.
        excluded: Weights that were not merged, though a member may have changed them.
        learned: Of a learned method: masks, lambdas, ranks, the objective.
        written: Of an adapter: its parameters, ranks and error.
    """

    method: str
    values: Mapping[str, Value]
    tasks: tuple[str, ...]
    weights: int
    excluded: tuple[str, ...]
    learned: Learned | None
    written: Written | None


def run(request: Request, output: Path) -> Report:
    """Merge folders and write the result.

    The output appears when it is whole: a model's or an adapter's folder with
    heads/TASK.safetensors, merge.json and, of a learned method, coefficients.safetensors (masks
    and lambdas by weight). A closed form's whole model is written with one weight of each member
    in memory at a time.

    Raises:
        InputError: Anything that cannot be merged as asked, before anything is written.
    """
    method = method_named(request.method)
    values = complete(method, request.values)
    check_texts(method, request.texts)
    base = read_base(request.base)
    members = read_members(base, request.members)
    learned = None
    vectors: Mapping[str, Vector]
    if method.learned:
        learned = learn_from_folders(
            base,
            members,
            method,
            values,
            request.texts,
            request.learning,
            max_length=request.max_length,
            state=_read_state(request.checkpoint),
            on_step=_saving(request),
        )
        vectors = learned.vectors
    else:
        vectors = MergedWeights(members, method, values, request.seed)
    excluded = excluded_of(members)
    tasks = tuple(member.task for member in members)
    with whole_folder(output) as working:
        written = None
        if request.budget is None:
            write_full(working, base, vectors, members)
        else:
            written = write_lora(working, base, dict(vectors), members, request.budget)
        report = Report(request.method, values, tasks, len(vectors), excluded, learned, written)
        write_report(working, report)
    return report


def write_report(folder: Path, report: Report, **more: Any) -> None:
    """Write merge.json and, of a learned method, coefficients.safetensors.

    Args:
        folder: A merge's.
        report: What was merged.
        more: What merge.json holds besides.
    """
    write_json(folder / RECORD, record_of(report) | more)
    if report.learned:
        write_coefficients(folder, report.learned)


def record_of(report: Report) -> dict[str, Any]:
    """Make what merge.json holds."""
    learned, written = report.learned, report.written
    record: dict[str, Any] = {
        "method": report.method,
        "values": dict(report.values),
        "tasks": list(report.tasks),
        "merged_weights": report.weights,
        "excluded": list(report.excluded),
    }
    if learned:
        record["objective"] = [[step, value] for step, value in learned.state.history]
        record["best_step"] = learned.state.best_step
        record["ranks"] = [asdict(row) for row in learned.ranks]
    if written:
        record["adapter"] = {**asdict(written), "ranks": dict(written.ranks)}
    return record


def write_coefficients(folder: Path, learned: Learned) -> None:
    """Write a learned method's masks and lambdas, by weight."""
    masks = {f"mask.{name}": mask for name, mask in learned.masks.items()}
    # Rows of one tensor: copied, for a file cannot hold shared memory.
    lambdas = {f"lambda.{name}": row.clone() for name, row in learned.lambdas.items()}
    write_tensors(folder / COEFFICIENTS, {n: t.clone() for n, t in (masks | lambdas).items()})


def _read_state(path: Path | None) -> State | None:
    if path is None or not path.is_file():
        return None
    try:
        return State.from_bytes(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise input_error(
            "no state of a learned merge",
            where=str(path),
            got=f"{error}",
            expected="what --checkpoint wrote",
            remedy="remove it to start from the beginning",
        ) from None


def _saving(request: Request) -> Callable[[State], None]:
    def after_step(state: State) -> None:
        if request.checkpoint is not None and state.step % _SAVE_EVERY == 0:
            write_bytes(request.checkpoint, state.to_bytes())
        if request.on_step is not None:
            request.on_step(state)

    return after_step
