"""An adapter made smaller: ranks by an exact parameter budget, and the error that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path

from torch import Tensor

from adarank.errors import InputError, Problem, input_error
from adarank.factors.joining import distance
from adarank.factors.svd import Components, Update, decompose
from adarank.factors.truncation import Choice, ranks_within, truncate
from adarank.pipeline.adapters.config import written
from adarank.pipeline.adapters.reading import PREFIX, Adapter, Part, refuse_non_finite
from adarank.pipeline.adapters.writing import write_adapter


@dataclass(frozen=True)
class Size:
    """How small an adapter is to be; exactly one of budget and parameters, or max_rank alone.

    Attributes:
        budget: Average rank: what this uniform rank would cost on the adapter's linear layers.
        parameters: Entries of all factors.
        max_rank: The highest rank that any module may keep.
    """

    budget: float | None = None
    parameters: int | None = None
    max_rank: int | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.budget, self.parameters) if value is not None]
        problems: list[Problem] = []
        if len(given) > 1 or not (given or self.max_rank is not None):
            expected = "one of --budget and --parameters, with or without --max-rank; or that alone"
            problems.append(Problem("how small?", "resize", f"{len(given)} of them", expected))
        for name in ("budget", "parameters", "max_rank"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                flag = f"--{name.replace('_', '-')}"
                problems.append(Problem("no such size", flag, value, "a positive number"))
        if problems:
            raise InputError(*problems)


@dataclass(frozen=True)
class Resized:
    """What became of one module.

    Attributes:
        name: Full dotted name in the model.
        before: Its rank.
        after: Its rank now; 0: no adapter.
        parameters: What the rank costs now.
        norm: Frobenius norm of s B A before.
        error: Frobenius norm of the difference, with the factors as they were saved.
        worth: What all components together were worth in the metric that chose among them.
        lost: What the components that were left out were worth.
    """

    name: str
    before: int
    after: int
    parameters: int
    norm: float
    error: float
    worth: float
    lost: float

    @property
    def relative_error(self) -> float:
        """The error as a share of the norm; 0 for an update of norm 0."""
        return self.error / self.norm if self.norm else 0.0


def total_error(modules: Sequence[Resized]) -> float:
    """The relative error of all modules together: sqrt(sum error^2 / sum norm^2)."""
    whole = sum(module.norm**2 for module in modules)
    return sqrt(sum(module.error**2 for module in modules) / whole) if whole else 0.0


def lost_share(modules: Sequence[Resized]) -> float:
    """The share of all components' worth that was left out, in the metric that chose."""
    worth = sum(module.worth for module in modules)
    return sum(module.lost for module in modules) / worth if worth else 0.0


def decomposed(adapter: Adapter) -> dict[str, Components]:
    """Split every linear layer's update by its SVD.

    Raises:
        InputError: Names every module with a factor that is not finite; or there is no such layer.
    """
    if not adapter.linear:
        raise input_error(
            "this adapter has no linear layers",
            where=str(adapter.folder),
            got=", ".join(part.name for part in adapter.parts),
            expected="LoRA factors of linear layers; embeddings and convolutions are kept whole",
        )
    refuse_non_finite(adapter)
    return {part.name: decompose(update).components for part, update in adapter.updates()}


def choose(adapter: Adapter, components: Mapping[str, Components], size: Size) -> Choice:
    """Choose the ranks to keep.

    Raises:
        InputError: A size above the adapter's own, or below one rank of its cheapest module.
    """
    parts = {part.name: part for part in adapter.linear}
    budget = _parameters(adapter, size)
    energies = {name: one.energies[: size.max_rank].tolist() for name, one in components.items()}
    costs = {name: part.parameters_per_rank for name, part in parts.items()}
    choice = ranks_within(energies, costs, budget)
    if not choice.parameters:
        raise input_error(
            "nothing of the adapter would be left",
            got=f"{budget} parameters",
            expected=f"at least {min(costs.values())}, one rank of the smallest module",
            remedy="a larger --budget or --parameters",
        )
    return choice


def resize(
    adapter: Adapter, components: Mapping[str, Components], choice: Choice, folder: Path
) -> list[Resized]:
    """Write the adapter at the chosen ranks, and measure what it lost.

    All linear layers get one scale, the commonest of theirs, and the factors make up for it: a
    program that reads r and lora_alpha alone then scales every module right. Everything else in
    the file is written as it was.

    Returns:
        Every linear layer's ranks and error, with the factors as they are in the new file.
    """
    scale = _common_scale(adapter.linear)
    tensors: dict[str, Tensor] = {}
    resized: list[Resized] = []
    for part, before in adapter.updates():
        rank = choice.ranks[part.name]
        kept = truncate(components[part.name], rank, scale)
        after = Update(kept.a.to(before.a.dtype), kept.b.to(before.b.dtype), scale)
        if rank:
            tensors |= {part.a: after.a, part.b: after.b}
        resized.append(_measured(part, before, after, components[part.name]))
    others = [part for part in adapter.parts if not part.linear]
    keys = [key for part in others for key in (part.a, part.b)]
    tensors |= adapter.tensors(keys)
    dropped = [name for name, rank in choice.ranks.items() if not rank]
    # PEFT wraps no layer of rank 0, and looks for its trained bias under the layer's own name.
    own = {f"{PREFIX}{name}.base_layer.bias": f"{PREFIX}{name}.bias" for name in dropped}
    tensors |= {own.get(key, key): t for key, t in adapter.tensors(adapter.others).items()}
    ranks = {name: rank for name, rank in choice.ranks.items() if rank}
    scales = dict.fromkeys(ranks, scale) | {part.name: part.scale for part in others}
    ranks |= {part.name: part.rank for part in others}
    write_adapter(folder, written(adapter.config, ranks, scales, dropped), tensors)
    return resized


def _measured(part: Part, before: Update, after: Update, components: Components) -> Resized:
    nothing = Update(before.a[:0], before.b[:, :0])
    whole, error = distance(before, nothing), distance(before, after)
    worth, lost = float(components.energies.sum()), float(components.energies[after.rank :].sum())
    return Resized(part.name, part.rank, after.rank, after.parameters, whole, error, worth, lost)


def _common_scale(parts: tuple[Part, ...]) -> float:
    """The commonest positive scale of the modules; 1 where none is positive."""
    scales = sorted(part.scale for part in parts if part.scale > 0)
    return max(scales, key=scales.count, default=1.0)


def _parameters(adapter: Adapter, size: Size) -> int:
    """The parameters that may be spent; InputError if they are more than the adapter has."""
    own = sum(part.parameters for part in adapter.linear)
    per_rank = sum(part.parameters_per_rank for part in adapter.linear)
    wanted = size.parameters if size.budget is None else size.budget * per_rank
    if wanted is None:
        return own
    if wanted > own:
        raise input_error(
            "that is larger than the adapter is",
            got=f"{wanted:,.10g} parameters",
            expected=f"at most {own:,}, an average rank of {own / per_rank:g}",
            remedy="resizing only removes; to add ranks, train again with a larger budget",
        )
    return int(wanted + 1e-6)  # 0.29 * 100 is 28.999999999999996
