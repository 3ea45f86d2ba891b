"""Planned modules in PEFT's own terms: LoraConfig's targets, ranks and alphas.

PEFT matches rank_pattern's keys as `(.*\\.)?(key)$`, the first that matches wins, and a key
that matches nothing is ignored silently. So names are written in full, escaped and anchored, and
each is looked up first. LoraConfig's own r and lora_alpha serve programs that read no patterns.
"""

import re
from collections.abc import Sequence
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING, Any

from adarank.allocation.planned import PlannedModule
from adarank.allocation.scale import Scale
from adarank.errors import InputError, Problem, input_error
from adarank.models.bias_norm import BiasNorm

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch.nn import Module as TorchModule


def lora_config(
    modules: Sequence[PlannedModule],
    scale: Scale,
    model: "TorchModule | None",
    overrides: dict[str, Any],
) -> "LoraConfig":
    """Make the LoraConfig of planned modules; see `RankPlan.lora_config`."""
    from peft import LoraConfig  # takes seconds and torch, which planning does without

    adapted = _adapted(modules)
    if not adapted:
        raise input_error(
            "every module has rank 0, so there is nothing to train",
            where="plan.modules",
            got=f"{len(modules)} modules, none of a rank",
            expected="a rank above 0 for at least one module",
            remedy="raise the budget, or set min_rank: 1",
        )
    decided = _decided(adapted, scale, model)
    _refuse_overrides(sorted((decided.keys() | _NO_EFFECT) & overrides.keys()))
    options: dict[str, Any] = {"bias": "none", **overrides, **decided}
    return LoraConfig(**options)


def names_in(modules: Sequence[PlannedModule], model: "TorchModule") -> dict[str, str]:
    """Find planned modules in a model; see `RankPlan.names_in`."""
    prefix = _head_prefix(model)
    present = dict(model.named_modules())
    names = {module.name: prefix + module.name for module in modules}
    problems = [_missing(list(names.values()), present, model)]
    problems += [_misfit(module, present.get(names[module.name])) for module in modules]
    if real := [problem for problem in problems if problem]:
        raise InputError(*real)
    return names


def norm_names(bias_norm: BiasNorm, model: "TorchModule | None") -> list[str]:
    """Name the norms that are trained whole: in full in a model, else as in the base model."""
    prefix = _head_prefix(model) if model is not None else ""
    return [prefix + name for name in bias_norm.norms]


def rank_pattern(modules: Sequence[PlannedModule]) -> dict[str, int]:
    """Make a rank_pattern that fits the base model with or without a task head."""
    return {re.escape(module.name): module.rank for module in _longest_first(modules)}


def alpha_pattern(modules: Sequence[PlannedModule]) -> dict[str, float]:
    """Make an alpha_pattern that fits the base model with or without a task head."""
    return {re.escape(module.name): module.alpha for module in _longest_first(modules)}


def _adapted(modules: Sequence[PlannedModule]) -> list[PlannedModule]:
    return [module for module in modules if module.rank > 0]


def _longest_first(modules: Sequence[PlannedModule]) -> list[PlannedModule]:
    # PEFT takes the first key that matches, and a name's key matches longer names too.
    return sorted(_adapted(modules), key=lambda module: -module.name.count("."))


def _decided(
    adapted: Sequence[PlannedModule], scale: Scale, model: "TorchModule | None"
) -> dict[str, Any]:
    """Arguments of LoraConfig that the plan decides, which nobody may override."""
    rank, alpha = _defaults(adapted, scale)
    decided: dict[str, Any] = {
        "r": rank,
        "lora_alpha": alpha,
        "use_rslora": scale.policy == "rslora",
        "target_modules": sorted(module.name for module in adapted),
        "exclude_modules": None,
        "rank_pattern": rank_pattern(adapted),
        "alpha_pattern": alpha_pattern(adapted),
    }
    if model is None:
        return decided
    names = names_in(adapted, model)
    keys = {module.name: f"^{re.escape(names[module.name])}" for module in adapted}
    return decided | {
        "target_modules": sorted(names.values()),
        "exclude_modules": _also_matched(set(names.values()), model),
        "rank_pattern": {keys[module.name]: module.rank for module in adapted},
        "alpha_pattern": {keys[module.name]: module.alpha for module in adapted},
    }


def _defaults(adapted: Sequence[PlannedModule], scale: Scale) -> tuple[int, float]:
    """LoraConfig's r and lora_alpha: what programs go by that read no patterns.

    r is the highest rank, so that a server's limit on it holds for every module. With it, a scale
    of alpha / r for all modules is exact under `ratio`, and alpha over each tensor's own rank under
    `constant`. Under `rslora` no alpha is exact for unequal ranks; alpha / sqrt(r) is the mean of
    the modules' scales, the least squares fit.
    """
    ranks = {module.rank for module in adapted}
    highest = max(ranks)
    if scale.policy != "rslora" or len(ranks) == 1:
        return highest, scale.alpha(highest)
    return highest, fmean(scale.factor(module.rank) for module in adapted) * sqrt(highest)


def _head_prefix(model: "TorchModule") -> str:
    """Prefix of the base model's names in a model with a task head; else empty."""
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if prefix and hasattr(model, prefix) else ""


def _also_matched(wanted: set[str], model: "TorchModule") -> str | None:
    """A regex for modules that PEFT would adapt only because a wanted name ends theirs."""
    endings = tuple(f".{name}" for name in wanted)
    others = [name for name, _ in model.named_modules() if name.endswith(endings)]
    return "|".join(re.escape(name) for name in sorted(set(others) - wanted)) or None


def _missing(
    names: list[str], present: "dict[str, TorchModule]", model: "TorchModule"
) -> Problem | None:
    missing = [name for name in names if name not in present]
    if not missing:
        return None
    return Problem(
        f"{len(missing)} of {len(names)} planned modules are not in the model",
        type(model).__name__,
        ", ".join(missing),
        "the model that was scored, with or without a task head",
        "score this model, or adapt the one that was scored",
    )


def _misfit(module: PlannedModule, present: "TorchModule | None") -> Problem | None:
    """A module of another shape: of another model, whatever its name."""
    if present is None:
        return None
    got = module.rank * _parameters_per_rank(present)
    if got == module.parameters:
        return None
    return Problem(
        "this module has another shape than the one planned for",
        module.name,
        f"rank {module.rank} would cost {got} parameters",
        f"{module.parameters} parameters",
        "score this model, or adapt the one that was scored",
    )


def _parameters_per_rank(module: "TorchModule") -> int:
    """d_in + d_out; features are asked first, for quantised weights are stored packed."""
    features = [getattr(module, side, None) for side in ("in_features", "out_features")]
    if all(isinstance(side, int) for side in features):
        return sum(features)  # type: ignore[arg-type]
    weight = getattr(module, "weight", None)
    return sum(weight.shape) if weight is not None and weight.ndim == 2 else 0


# Which modules are adapted is the plan's: PEFT ignores the first two for modules named in full,
# and the third adds what no plan has counted.
_NO_EFFECT = {"layers_to_transform", "layers_pattern", "target_parameters"}


def _refuse_overrides(names: list[str]) -> None:
    if names:
        raise input_error(
            "the plan decides these, they cannot be overridden",
            where="lora_config",
            got=", ".join(names),
            remedy="leave them out, or make another plan",
        )
