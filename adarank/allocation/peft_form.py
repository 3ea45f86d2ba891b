"""A plan in PEFT's own terms: which modules, and each one's rank and alpha.

PEFT matches rank_pattern's keys as `(.*\\.)?(key)$`, the first that matches wins, and a key
that matches nothing goes unnoticed. So names are written in full, escaped and anchored, each
is looked up first. LoraConfig's own r and lora_alpha serve programs that read no patterns.
"""

import re
from collections.abc import Iterable
from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING, Any

from adarank.errors import InputError, Problem, input_error

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch.nn import Module as TorchModule

    from adarank.allocation.plan import PlannedModule, RankPlan


def lora_config(
    plan: "RankPlan", model: "TorchModule | None", overrides: dict[str, Any]
) -> "LoraConfig":
    """Make the LoraConfig of a plan; see `RankPlan.lora_config`."""
    from peft import LoraConfig  # costs seconds, and torch: only who trains pays

    if not plan.adapted:
        raise input_error(
            "every module has rank 0, so there is nothing to train",
            where=f"plan of strategy {plan.strategy}, budget {plan.budget:g}",
            got=f"{len(plan.modules)} modules, none of a rank",
            expected="a rank above 0 for at least one module",
            remedy="raise the budget, or set min_rank: 1",
        )
    decided = _decided(plan, model)
    _refuse_overrides(sorted(decided.keys() & overrides.keys()))
    options: dict[str, Any] = {"bias": "none", **overrides, **decided}
    return LoraConfig(**options)


def names_in(modules: "Iterable[PlannedModule]", model: "TorchModule") -> dict[str, str]:
    """Find planned modules in a model; see `RankPlan.names_in`."""
    prefix = _head_prefix(model)
    found = dict(model.named_modules())
    names = {module.name: prefix + module.name for module in modules}
    problems = [_missing(list(names.values()), found, model)]
    problems += [_misfit(module, found.get(names[module.name])) for module in modules]
    if real := [problem for problem in problems if problem]:
        raise InputError(*real)
    return names


def _decided(plan: "RankPlan", model: "TorchModule | None") -> dict[str, Any]:
    """What LoraConfig takes from the plan, and nobody may override."""
    rank, alpha = _defaults(plan)
    decided: dict[str, Any] = {
        "r": rank,
        "lora_alpha": alpha,
        "use_rslora": plan.scale.policy == "rslora",
        "target_modules": plan.target_modules,
        "exclude_modules": None,
        "rank_pattern": plan.rank_pattern,
        "alpha_pattern": plan.alpha_pattern,
    }
    if model is None:
        return decided
    names = names_in(plan.adapted, model)
    keys = {module.name: f"^{re.escape(names[module.name])}" for module in plan.adapted}
    return decided | {
        "target_modules": sorted(names.values()),
        "exclude_modules": _also_matched(set(names.values()), model),
        "rank_pattern": {keys[module.name]: module.rank for module in plan.adapted},
        "alpha_pattern": {keys[module.name]: module.alpha for module in plan.adapted},
    }


def _defaults(plan: "RankPlan") -> tuple[int, float]:
    """LoraConfig's r and lora_alpha: what programs go by that read no patterns.

    r is the highest rank, so that a server's limit on it holds for every module. With it, a scale
    of alpha / r for all modules is exact under `ratio`, and alpha over each tensor's own rank under
    `constant`. Under `rslora` no alpha is exact for unequal ranks; alpha / sqrt(r) is the mean of
    the modules' scales, the least squares fit.
    """
    ranks = {module.rank for module in plan.adapted}
    highest = max(ranks)
    if plan.scale.policy != "rslora" or len(ranks) == 1:
        return highest, plan.scale.alpha(highest)
    return highest, fmean(plan.scaling.values()) * sqrt(highest)


def _head_prefix(model: "TorchModule") -> str:
    """The prefix of the base model's names in a model with a task head; else empty."""
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if prefix and hasattr(model, prefix) else ""


def _also_matched(wanted: set[str], model: "TorchModule") -> str | None:
    """A regex for modules that PEFT would adapt only because a wanted name ends theirs."""
    endings = tuple(f".{name}" for name in wanted)
    others = [name for name, _ in model.named_modules() if name.endswith(endings)]
    return "|".join(re.escape(name) for name in sorted(set(others) - wanted)) or None


def _missing(
    names: list[str], found: "dict[str, TorchModule]", model: "TorchModule"
) -> Problem | None:
    missing = [name for name in names if name not in found]
    if not missing:
        return None
    return Problem(
        f"{len(missing)} of {len(names)} planned modules are not in the model",
        type(model).__name__,
        ", ".join(missing),
        "the model that was scored, with or without a task head",
        "score this model, or adapt the one that was scored",
    )


def _misfit(module: "PlannedModule", found: "TorchModule | None") -> Problem | None:
    """A module of another shape: of another model, whatever its name."""
    if found is None or module.parameters == (got := module.rank * _parameters_per_rank(found)):
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


def _refuse_overrides(names: list[str]) -> None:
    if names:
        raise input_error(
            "the plan decides these, they cannot be overridden",
            where="lora_config",
            got=", ".join(names),
            remedy="leave them out, or make another plan",
        )
