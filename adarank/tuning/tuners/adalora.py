"""AdaLoRA: ranks that are cut down while training (Zhang et al. 2023, arXiv 2303.10512).

Every module starts with half as much rank again as the budget, as triplets P E Q with singular
values E. From the first warmup on, the triplets that matter least are masked, all modules
together, until the budget's sum of ranks is left; the last part of the run trains those. PEFT does
all of this, provided that it is called at every step while its gradients are there: otherwise it
trains plain LoRA at the starting rank.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.adalora import AdaLoraLayer
from torch import Tensor, nn

from adarank.allocation.peft_form import names_in
from adarank.allocation.plan import RankPlan
from adarank.errors import Problem, RunError, run_error
from adarank.models.stacks import base_model
from adarank.tasks.base import Headed
from adarank.tuning.loop.checkpoint import State, part_named
from adarank.tuning.lora import ADAPTER, head_parameters, quietly
from adarank.tuning.saving import adapter_state, load_adapter, save_adapter
from adarank.tuning.seeds import generator
from adarank.tuning.tuners.base import During, Found, Start

ORTHOGONALITY = 0.5
"""Weight of the penalty that keeps P and Q orthogonal; PEFT's default."""


class AdaLora:
    """PEFT's AdaLoRA over every module of the plan, at the plan's average rank."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> PeftModel:
        """Put triplets of the starting rank on every module, drawn by seed and module name."""
        config = _config(headed, plan, start)
        with torch.random.fork_rng(devices=[]), quietly():
            model = get_peft_model(headed.model, config)
        # PEFT's own target is the average rank times the modules, which need not be whole.
        _adalora(model).rankallocator.target_bgt = target_sum(plan)
        for name, layer in _layers(model).items():
            for part, side in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
                draws = generator(start.seed, "adalora", name, part)
                nn.init.normal_(_tensor(side), std=0.02, generator=draws)
        _verify_trainable(model, self.verify(model, plan, headed.head))
        return model

    def during(self, model: nn.Module, plan: RankPlan, start: Start) -> During:  # noqa: ARG002
        """Add the penalty, call PEFT at every step, keep no weights before the last cut."""
        assert isinstance(model, PeftModel)
        layers, tuner, config = _layers(model), _adalora(model), _peft_config(model)

        def stepped(step: int) -> None:
            for parameter in _factors(layers):
                # PEFT reads every gradient; a module that no row reached has none.
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            tuner.update_and_allocate(step)

        return During(
            penalty=lambda: ORTHOGONALITY * _skew(layers),
            stepped=stepped,
            keep_from=config.total_step - config.tfinal,
            part=_Allocation(model),
        )

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:
        """Read the ranks that the masks leave, or that a loaded adapter has.

        Raises:
            RunError: Other modules or scales than planned, more rank than the budget or none, or
                a masked singular value that is not zero.
        """
        assert isinstance(model, PeftModel)
        layers = _layers(model)
        pattern = _masks(model)
        ranks = {name: _rank(layer, pattern.get(name)) for name, layer in sorted(layers.items())}
        problems = _misfits(layers, plan, pattern)
        whole = tuple(sorted(head_parameters(model)))
        if whole != tuple(sorted(head)):
            problems.append(Problem("trained whole beside the adapters", "head", whole, f"{head}"))
        if pattern and not 0 < sum(ranks.values()) <= target_sum(plan):
            expected = f"at most {target_sum(plan)}, and at least 1"
            problems.append(Problem("AdaLoRA's ranks", "sum", sum(ranks.values()), expected))
        if problems:
            raise RunError(*problems)
        parameters = sum(rank * _per_rank(layers[name]) for name, rank in ranks.items())
        left = {name: rank for name, rank in ranks.items() if rank}
        return Found(left, parameters, sum(head_parameters(model).values()))

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Collect the triplets that are left, and the head, by PEFT's names."""
        assert isinstance(model, PeftModel)
        return adapter_state(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors.

        Raises:
            RunError: The ranks were never cut down.
        """
        assert isinstance(model, PeftModel)
        config = _peft_config(model)
        if not _masks(model):
            raise run_error(
                "AdaLoRA has not cut its ranks down, so this is plain LoRA at the starting rank",
                where=f"adapter, after {config.total_step} steps",
                expected=f"the last cut at step {config.total_step - config.tfinal}",
            )
        save_adapter(
            model,
            folder,
            target_modules=config.target_modules,
            orth_reg_weight=ORTHOGONALITY,
        )

    def load(self, headed: Headed, folder: Path) -> PeftModel:
        """Load the adapter as any user of PEFT would."""
        model = load_adapter(headed, folder)
        _without_penalty(model)
        return model


_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What PEFT's rank allocator remembers of every factor."""


class _Allocation:
    """What AdaLoRA remembers from step to step: sensitivities, and the ranks cut so far."""

    def __init__(self, model: PeftModel):
        self._model = model

    def state(self) -> State:
        """Return the sensitivities, the ranks in use, and the pattern of the last cut."""
        allocator = _adalora(self._model).rankallocator
        tensors = {
            f"{kind}/{name}": values
            for kind in _AVERAGES
            for name, values in getattr(allocator, kind).items()
        }
        tensors |= {f"ranknum/{name}": number.detach() for name, number in self._numbers()}
        return State(tensors, {"rank_pattern": _peft_config(self._model).rank_pattern})

    def restore(self, state: State) -> None:
        """Restore them."""
        allocator = _adalora(self._model).rankallocator
        device = next(self._model.parameters()).device
        for kind in _AVERAGES:
            found = part_named(state.tensors, kind)
            setattr(allocator, kind, {name: t.to(device) for name, t in found.items()})
        numbers = part_named(state.tensors, "ranknum")
        for name, number in self._numbers():
            number.data.copy_(numbers[name])
        _peft_config(self._model).rank_pattern = state.note["rank_pattern"]

    def _numbers(self) -> list[tuple[str, Tensor]]:
        return [(n, p) for n, p in self._model.named_parameters() if "ranknum" in n]


def start_rank(budget: float) -> int:
    """Return the rank that every module starts with: half as much again, and at least one more."""
    whole = math.ceil(budget)
    return max(math.ceil(1.5 * whole), whole + 1)


def target_sum(plan: RankPlan) -> int:
    """Return the sum of ranks to end at: the budget, an average rank, over the plan's modules."""
    return max(1, round(plan.budget * len(plan.modules)))


def _config(headed: Headed, plan: RankPlan, start: Start) -> AdaLoraConfig:
    rank = start_rank(plan.budget)
    names = names_in(plan.modules, headed.model).values()
    # An eighth and a half: about the proportions of the paper's runs on GLUE.
    return AdaLoraConfig(
        task_type=TaskType(start.task.peft_type),
        target_r=plan.budget,  # pyright: ignore[reportArgumentType]
        init_r=rank,
        total_step=start.steps,
        tinit=start.steps // 8,
        tfinal=start.steps // 2,
        deltaT=max(1, start.steps // 1000),
        # PEFT divides by the starting rank, whatever is left of it.
        lora_alpha=plan.scale.factor(rank) * rank,  # pyright: ignore[reportArgumentType]
        lora_dropout=start.dropout,
        # A pattern is matched whole, while names in a list match the ends of other names too.
        target_modules="|".join(re.escape(name) for name in sorted(names)),
        modules_to_save=list(headed.head) or None,
        # PEFT would add its penalty to the model's own loss, which not every task uses.
        orth_reg_weight=0.0,
    )


def _without_penalty(model: PeftModel) -> None:
    """Fix a loaded adapter for models that compute a loss: PEFT looks for the trained one."""
    _peft_config(model).orth_reg_weight = 0.0
    _adalora(model).trainable_adapter_name = ADAPTER


def _skew(layers: Mapping[str, AdaLoraLayer]) -> Tensor:
    """Average ||P^T P - I|| and ||Q Q^T - I|| (Frobenius) over all modules, as PEFT does."""
    terms: list[Tensor] = []
    for layer in layers.values():
        q, p = _tensor(layer.lora_A), _tensor(layer.lora_B)
        for square in (q @ q.T, p.T @ p):
            terms.append(torch.linalg.norm(square - torch.eye(len(square)).to(square)))
    return torch.stack(terms).mean()


def _masks(model: PeftModel) -> dict[str, list[bool]]:
    """Read which triplets PEFT has kept, by module name; empty before the first cut."""
    pattern = _peft_config(model).rank_pattern or {}
    prefix = base_model(model.get_base_model())[0]
    names = {key: key.removesuffix(f".{ADAPTER}").removesuffix(".lora_E") for key in pattern}
    return {names[key].removeprefix(f"{prefix}."): mask for key, mask in pattern.items()}


def _misfits(
    layers: Mapping[str, AdaLoraLayer], plan: RankPlan, masks: Mapping[str, list[bool]]
) -> list[Problem]:
    planned = {module.name for module in plan.modules}
    problems = [
        Problem("a module with an adapter" if name in layers else "no adapter here", name)
        for name in sorted(layers.keys() ^ planned)
    ]
    factor = plan.scale.factor(start_rank(plan.budget))
    for name, layer in sorted(layers.items()):
        got = layer.scaling[ADAPTER] / start_rank(plan.budget)
        if not math.isclose(got, factor, rel_tol=1e-6):
            problems.append(Problem("the scale differs from the plan", name, got, f"{factor}"))
        if _unmasked(layer, masks.get(name)):
            problems.append(Problem("a masked singular value is not zero", name))
    return problems


def _unmasked(layer: AdaLoraLayer, mask: list[bool] | None) -> bool:
    values = _tensor(layer.lora_E)
    # A loaded adapter holds the kept triplets alone.
    if mask is None or len(values) != len(mask):
        return False
    return bool(values[~torch.tensor(mask)].any())


def _rank(layer: AdaLoraLayer, mask: list[bool] | None) -> int:
    rows = len(_tensor(layer.lora_E))
    return rows if mask is None or rows != len(mask) else sum(mask)


def _per_rank(layer: AdaLoraLayer) -> int:
    return _tensor(layer.lora_A).shape[1] + _tensor(layer.lora_B).shape[0] + 1


def _verify_trainable(model: PeftModel, found: Found) -> None:
    got = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if got != found.parameters + found.head_parameters:
        expected = f"{found.parameters} + {found.head_parameters}: adapters and head alone"
        raise RunError(Problem("trainable parameters", "model", got, expected))


def _layers(model: PeftModel) -> dict[str, AdaLoraLayer]:
    base = base_model(model.get_base_model())[1]
    return {name: part for name, part in base.named_modules() if isinstance(part, AdaLoraLayer)}


def _factors(layers: Mapping[str, AdaLoraLayer]) -> list[Tensor]:
    sides = [side for one in layers.values() for side in (one.lora_A, one.lora_B, one.lora_E)]
    return [_tensor(side) for side in sides]


def _tensor(side: Any) -> Tensor:
    return side[ADAPTER]


def _adalora(model: PeftModel) -> Any:
    return model.base_model


def _peft_config(model: PeftModel) -> Any:
    return model.peft_config[ADAPTER]
