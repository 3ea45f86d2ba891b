"""LoRA whose ranks change while it trains, and end at the plan's parameters exactly.

Ranks grow while the loss stalls and are pruned, or fall along a schedule; see
`adarank.allocation.growth.Growth`. What is saved is one plain LoRA adapter on the untouched base.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import Tensor, nn

from adarank.allocation.growth import Growth
from adarank.allocation.plan import RankPlan
from adarank.errors import Problem, RunError, input_error
from adarank.models.stacks import base_model
from adarank.tasks.base import Headed
from adarank.tuning.lora import attach, head_parameters, layers_of, read_ranks, verify
from adarank.tuning.saving import adapter_state, load_adapter, save_adapter
from adarank.tuning.tuners.base import During, Found, Start
from adarank.tuning.tuners.grower import Grower


class Growing:
    """An adapter on every module of the plan, whose ranks change as the plan's growth says."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> PeftModel:
        """Put adapters of the start rank on every module.

        Raises:
            InputError: The growth does not fit the run or the modules, all problems at once; or
                there are no train rows to measure on.
        """
        growth = plan.growth or Growth()
        names = plan.names_in(headed.model) | _unadapted(plan, headed)
        sizes = {name: _size(headed.model.get_submodule(full)) for name, full in names.items()}
        sides = {name: min(size) for name, size in sizes.items()}
        course = growth.settle(plan.budget, start.steps, sides)
        if growth.rows and not start.train_rows:
            raise input_error(
                "no rows to measure gradients and the loss metric on",
                where="growing.rows",
                got="no train rows",
                expected="labelled train rows",
                remedy="give train rows to the run",
            )
        ranks = {name: min(course.start, side) for name, side in sides.items()}
        costs = {name: sum(size) for name, size in sizes.items()}
        return attach(
            headed,
            with_ranks(plan, ranks, costs),
            peft_type=start.task.peft_type,
            dropout=start.dropout,
            seed=start.seed,
        )

    def during(self, model: nn.Module, plan: RankPlan, start: Start) -> During:
        """Change the ranks after steps; keep no weights before the last cut."""
        assert isinstance(model, PeftModel)
        growth = plan.growth or Growth()
        course = growth.settle(plan.budget, start.steps, _sides(model))
        grower = Grower(model, plan, growth, course, start)
        return During(
            change=grower.change,
            columns=grower.columns,
            looked=grower.looked,
            finish=grower.finish,
            keep_from=course.cuts[-1][0] if course.cuts else 1,
            part=grower,
        )

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:
        """Read the ranks; hold scales and head to the plan, and a loaded adapter to its budget.

        Raises:
            RunError: What differs, got and expected.
        """
        assert isinstance(model, PeftModel)
        now = _as_it_is(model, plan)
        verify(model, now, tuple(head))
        frozen = not any(p.requires_grad for p in model.parameters())
        if frozen:
            _check_budget(now, plan)
        ranks = {module.name: module.rank for module in now.adapted}
        return Found(dict(sorted(ranks.items())), now.parameters, _head(model))

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Collect adapters and head, by PEFT's names."""
        assert isinstance(model, PeftModel)
        return adapter_state(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors, with the ranks as they are."""
        assert isinstance(model, PeftModel)
        prefix = base_model(model.get_base_model())[0]
        built = read_ranks(model)
        keys = {name: f"^{re.escape(f'{prefix}.{name}' if prefix else name)}" for name in built}
        # Programs that read no patterns go by r and lora_alpha; see allocation.peft_form.
        highest = max(built.values(), key=lambda one: one.rank)
        save_adapter(
            model,
            folder,
            r=highest.rank,
            lora_alpha=highest.alpha,
            rank_pattern={keys[name]: one.rank for name, one in sorted(built.items())},
            alpha_pattern={keys[name]: one.alpha for name, one in sorted(built.items())},
        )

    def load(self, headed: Headed, folder: Path) -> PeftModel:
        """Load the adapter as any user of PEFT would."""
        return load_adapter(headed, folder)


def with_ranks(plan: RankPlan, ranks: Mapping[str, int], costs: Mapping[str, int]) -> RankPlan:
    """Make the plan with other ranks.

    Args:
        plan: The plan.
        ranks: Rank by module name; modules not named get none.
        costs: Parameters per rank of every module that has one.
    """
    modules = tuple(
        replace(
            module,
            rank=(rank := ranks.get(module.name, 0)),
            alpha=plan.scale.alpha(rank),
            parameters=rank and rank * costs[module.name],
        )
        for module in plan.modules
    )
    return replace(plan, modules=modules, parameters=sum(m.parameters for m in modules))


def _as_it_is(model: PeftModel, plan: RankPlan) -> RankPlan:
    built = read_ranks(model)
    ranks = {name: one.rank for name, one in built.items()}
    return with_ranks(plan, ranks, {name: sum(size) for name, size in _sizes(model).items()})


def _check_budget(now: RankPlan, plan: RankPlan) -> None:
    growth = plan.growth or Growth()
    unpruned = growth.prune == "none" and not growth.schedule
    if not unpruned and now.parameters != plan.parameters:
        what, expected = "the adapter does not spend its budget", f"{plan.parameters} parameters"
        raise RunError(Problem(what, f"strategy {plan.strategy}", now.parameters, expected))


def _unadapted(plan: RankPlan, headed: Headed) -> dict[str, str]:
    """Full names of the modules that the plan gives no rank: they too may grow one."""
    prefix = base_model(headed.model)[0]
    others = [module.name for module in plan.modules if not module.rank]
    return {name: f"{prefix}.{name}" if prefix else name for name in others}


def _size(module: Any) -> tuple[int, int]:
    """Both sides of a linear layer's weight, in either order."""
    if hasattr(module, "in_features"):
        return module.in_features, module.out_features
    return tuple(module.weight.shape)  # transformers' Conv1D


def _sizes(model: PeftModel) -> dict[str, tuple[int, int]]:
    layers: dict[str, Any] = dict(layers_of(model))
    return {name: (one.in_features, one.out_features) for name, one in layers.items()}


def _sides(model: PeftModel) -> dict[str, int]:
    return {name: min(size) for name, size in _sizes(model).items()}


def _head(model: PeftModel) -> int:
    return sum(head_parameters(model).values())
