"""An adapter beside the plan that it was to follow: ranks, scales and parameters, as saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, sqrt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from adarank.errors import InputError, Problem, input_error
from adarank.pipeline.adapters.config import LoraFields, read_fields
from adarank.pipeline.adapters.reading import Adapter, Part
from adarank.pipeline.files.whole import read_json


class _Planned(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    name: str
    rank: int
    alpha: float
    parameters: int


@dataclass(frozen=True)
class Expected:
    """What a plan gives one module.

    Attributes:
        rank: Its rank; 0: no adapter.
        scale: The factor before B A.
        parameters: What the rank costs; None where the plan does not say.
    """

    rank: int
    scale: float
    parameters: int | None


def read_plan(path: Path, adapter: Adapter) -> dict[str, Expected]:
    """Read what a plan gives each module, by the names that the adapter has for them.

    Args:
        path: JSON that `adarank ranks` wrote, a plan of the pipeline's, or LoraConfig's own
            arguments (r, lora_alpha, target_modules, rank_pattern ...).
        adapter: The adapter. Its names may have a prefix before the plan's: a task's head adds one.

    Raises:
        InputError: None of these forms.
    """
    try:
        value = read_json(path)
    except InputError as error:
        # Its remedy is for what the pipeline writes and can make again.
        raise _no_plan(path, str(error.problems[0].got)) from None
    value = value if isinstance(value, dict) else {}
    about = value.get("about")
    modules = value.get("modules") or (about.get("modules") if isinstance(about, dict) else None)
    if modules is not None:
        return _from_modules(modules, _rslora(value), path, adapter)
    if "r" in value and isinstance(value.get("target_modules"), list):
        return _from_patterns(value, path, adapter)
    raise _no_plan(path, ", ".join(map(str, value)) or "nothing that is known")


def compare(adapter: Adapter, plan: Mapping[str, Expected]) -> list[Problem]:
    """List every module whose rank, scale or parameters differ from the plan's."""
    parts = {part.name: part for part in adapter.parts}
    problems: list[Problem] = []
    for name in sorted(parts.keys() | {name for name, one in plan.items() if one.rank}):
        part, one = parts.get(name), plan.get(name)
        if part and one and _same(part, one):
            continue
        problems.append(
            Problem("the adapter differs from the plan", name, _of_part(part), _of_plan(one))
        )
    return problems


def _from_modules(modules: Any, rslora: bool, path: Path, adapter: Adapter) -> dict[str, Expected]:
    try:
        planned = TypeAdapter(list[_Planned]).validate_python(modules)
    except ValidationError as error:
        raise _no_plan(path, str(error.errors(include_url=False)[0]["msg"])) from None
    names = _names(adapter, [one.name for one in planned])
    return {
        names[one.name]: Expected(one.rank, _scale(one.rank, one.alpha, rslora), one.parameters)
        for one in planned
    }


def _from_patterns(value: dict[str, Any], path: Path, adapter: Adapter) -> dict[str, Expected]:
    fields: LoraFields = read_fields(value, path)
    names = _targeted(adapter, value["target_modules"])
    return {name: Expected(fields.rank(name), fields.scale(name), None) for name in names}


def _targeted(adapter: Adapter, targets: list[str]) -> list[str]:
    """The adapter's modules that each target names, as PEFT matches: whole, or by its end."""
    known = [part.name for part in adapter.parts]
    ends = {one: [n for n in known if n == one or n.endswith(f".{one}")] for one in targets}
    return [name for one, found in ends.items() for name in found or [one]]


def _names(adapter: Adapter, planned: list[str]) -> dict[str, str]:
    """The adapter's name of each planned module: the shortest that ends so, else as planned."""
    known = sorted((part.name for part in adapter.parts), key=len)
    return {
        name: next((one for one in known if one == name or one.endswith(f".{name}")), name)
        for name in planned
    }


def _rslora(value: Mapping[str, Any]) -> bool:
    scale = value.get("scale")
    return bool(value.get("use_rslora")) or (
        isinstance(scale, dict) and scale.get("policy") == "rslora"
    )


def _scale(rank: int, alpha: float, rslora: bool) -> float:
    return alpha / (sqrt(rank) if rslora else rank) if rank > 0 else 0.0


def _same(part: Part, one: Expected) -> bool:
    parameters = one.parameters in (None, part.parameters)
    return part.rank == one.rank and parameters and isclose(part.scale, one.scale, rel_tol=1e-6)


def _of_part(part: Part | None) -> str:
    if part is None:
        return "no adapter"
    return f"rank {part.rank}, scale {part.scale:g}, {part.parameters} parameters"


def _of_plan(one: Expected | None) -> str:
    if one is None or not one.rank:
        return "no adapter"
    said = "" if one.parameters is None else f", {one.parameters} parameters"
    return f"rank {one.rank}, scale {one.scale:g}{said}"


def _no_plan(path: Path, got: str) -> Exception:
    return input_error(
        "no plan of ranks",
        where=str(path),
        got=got,
        expected="what `adarank ranks` writes, a plan of the pipeline's, or LoraConfig's arguments",
        remedy="adarank ranks MODEL --budget R --output ranks.json",
    )
