"""LoRA with exactly the plan's ranks (Hu et al. 2021, arXiv 2106.09685)."""

from collections.abc import Sequence
from pathlib import Path

from peft import PeftModel
from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.tasks.base import Headed
from adarank.tuning.lora import attach, bias_norm_parameters, head_parameters, layers_of, verify
from adarank.tuning.resizing import update_of
from adarank.tuning.saving import adapter_state, load_adapter, save_adapter
from adarank.tuning.starts.registry import set_start
from adarank.tuning.tuners.base import During, Found, Start
from adarank.tuning.update_statistics import EFFECTIVE_RANK, mean_effective_rank


class Lora:
    """An adapter of the planned rank on every planned module; ranks stay as they are."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> PeftModel:
        """Put the plan's adapters into the model, and begin their factors as the plan says."""
        model = attach(
            headed,
            plan,
            peft_type=start.task.peft_type,
            dropout=start.dropout,
            seed=start.seed,
        )
        if plan.start != "kaiming":
            set_start(model, plan.start, start.directions, seed=start.seed)
        return model

    def during(self, model: nn.Module, plan: RankPlan, start: Start) -> During:  # noqa: ARG002
        """Note the effective rank at each look at validation."""
        assert isinstance(model, PeftModel)
        layers = layers_of(model)

        def looked() -> dict[str, float]:
            updates = map(update_of, layers.values())
            return {EFFECTIVE_RANK: mean_effective_rank(updates, len(plan.modules))}

        return During(looked=looked)

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:
        """Compare every rank, scale and parameter count with the plan."""
        assert isinstance(model, PeftModel)
        built = verify(model, plan, tuple(head))
        ranks = {name: one.rank for name, one in sorted(built.items())}
        parameters = sum(one.parameters for one in built.values())
        parameters += bias_norm_parameters(model, plan)
        whole = head_parameters(model)
        return Found(ranks, parameters, sum(whole[name] for name in head))

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Collect adapters and head, by PEFT's names."""
        assert isinstance(model, PeftModel)
        return adapter_state(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors."""
        assert isinstance(model, PeftModel)
        save_adapter(model, folder)

    def load(self, headed: Headed, folder: Path) -> PeftModel:
        """Load the adapter as any user of PEFT would."""
        return load_adapter(headed, folder)
