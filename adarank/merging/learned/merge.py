"""AdaMerging and AdaRank: what is decomposed, what is learned, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from adarank.merging.learned.coefficients import Coefficients
from adarank.merging.learned.components import Components, Origin, Plain, components
from adarank.merging.learned.entropy import OBJECTIVES
from adarank.merging.learned.learning import Learning, Unlabelled, learn
from adarank.merging.learned.merged_model import MergedModel, evaluating
from adarank.merging.learned.state import State
from adarank.merging.parameters import Value
from adarank.merging.registry import Method, complete
from adarank.merging.task_vectors import (
    Member,
    Vector,
    all_factored,
    check_members,
    stacked,
    vectors_of,
    weight_names,
)

PRIORS: dict[str, tuple[float, float]] = {
    "task_arithmetic": (0.3, 1.0),
    "cart": (1.6, 0.04),
    "tsv_m": (1.0, 1.0),
}
"""By origin: lambda and the share of components that are on at the start (the paper's, RoBERTa)."""


@dataclass(frozen=True)
class KeptRank:
    """What the masks keep of one member in one weight.

    Attributes:
        weight: Its name.
        task: The member's.
        components: How many there are.
        kept: How many are on.
        mask: A character a component, the largest first: 1 for kept, 0 for not.
        leading: Share of the kept components that are among the `kept` largest: 1 where the mask
            is a truncation of the SVD. None where none is kept.
        scaling: lambda.
    """

    weight: str
    task: str
    components: int
    kept: int
    leading: float | None
    scaling: float
    mask: str


@dataclass(frozen=True)
class Learned:
    """The result of a learned method.

    Attributes:
        vectors: By weight: what to add to the base.
        masks: By weight: which components are on, by task and descending sigma.
        lambdas: By weight, shape (n_tasks,).
        ranks: A row per weight and task, of the weights that have components.
        state: The last state, with the objective's history.
    """

    vectors: dict[str, Vector]
    masks: dict[str, Tensor]
    lambdas: dict[str, Tensor]
    ranks: tuple[KeptRank, ...]
    state: State


def merge_learned(
    body: nn.Module,
    members: Sequence[Member],
    method: Method,
    values: Mapping[str, Value],
    tasks: Sequence[Unlabelled],
    learning: Learning,
    *,
    state: State | None = None,
    on_step: Callable[[State], None] | None = None,
) -> Learned:
    """Merge members by coefficients that are learned on unlabelled rows.

    Args:
        body: The base model, which the models in `tasks` share; all are in eval mode while masks
            are learned, and back in their own mode afterwards.
        members: At least two of that base.
        method: `adamerging` or `adarank`.
        values: Parameters that differ from the method's defaults.
        tasks: Each member's rows and head, in the members' order.
        learning: Batches, steps and seed; the rate and the objective are two of `values`.
        state: Where to go on from.
        on_step: Gets the state after every step.

    Raises:
        InputError: Unfit members or parameters, or too few rows.
        RunError: An objective that is not finite.
    """
    values = complete(method, values)
    check_members(members)
    origin = cast(Origin, values.get("origin", "task_arithmetic"))
    prior, ratio = (
        default if float(values.get(name, -1)) < 0 else float(values[name])
        for name, default in zip(("prior", "ratio"), PRIORS[origin], strict=True)
    )
    lambdas_only = values.get("learn", "lambdas_only") == "lambdas_only"
    parts = {
        name: _part(vectors_of(members, name), origin, ratio, whole=method.name == "adamerging")
        for name in weight_names(members)
    }
    coefficients = Coefficients(parts, len(members))
    with evaluating([body, *(task.model for task in tasks)]):
        last = learn(
            MergedModel(body, parts),
            coefficients,
            tasks,
            learning,
            rate=float(values["rate"]),
            prior=prior,
            masks=not lambdas_only,
            lambdas=values.get("learn") != "masks_only",
            objective=OBJECTIVES[str(values["objective"])],
            state=state,
            on_step=on_step,
        )
    return _result(members, coefficients, last)


def _part(
    vectors: Sequence[Vector | None], origin: Origin, ratio: float, *, whole: bool
) -> Components | Plain:
    """Components to mask; or, where no mask is learned, whole models' vectors as they are."""
    if whole and not all_factored(vectors):
        return Plain(stacked(vectors))
    return components(vectors, origin, ratio)


def _result(members: Sequence[Member], coefficients: Coefficients, last: State) -> Learned:
    logits, lambdas = last.tensors["best_logits"], last.tensors["best_lambdas"]
    values = coefficients.by_weight(logits, lambdas)
    on = dict(zip(coefficients.parts, (logits > 0).split(coefficients.counts), strict=True))
    masks = {n: on[n] for n, p in coefficients.parts.items() if isinstance(p, Components)}
    rows = dict(zip(coefficients.parts, lambdas, strict=True))
    ranks = tuple(
        _kept(name, member.task, masks[name][part.tasks == index], float(rows[name][index]))
        for name, part in coefficients.parts.items()
        if isinstance(part, Components)
        for index, member in enumerate(members)
    )
    vectors = {name: part.merged(values[name]) for name, part in coefficients.parts.items()}
    return Learned(vectors, masks, rows, ranks, last)


def _kept(weight: str, task: str, mask: Tensor, scaling: float) -> KeptRank:
    kept = int(mask.sum())
    leading = float(mask[:kept].sum()) / kept if kept else None
    shown = "".join("1" if on else "0" for on in mask.tolist())
    return KeptRank(weight, task, len(mask), kept, leading, scaling, shown)
