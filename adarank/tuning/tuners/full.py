"""Full fine-tuning: every weight of base and head, the upper reference of any adapter."""

import copy
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel

from adarank.allocation.plan import RankPlan
from adarank.models.tensors import write_tensors
from adarank.tasks.base import Headed
from adarank.tuning.saving import check_loaded, damaged, read_tensors
from adarank.tuning.tuners.base import During, Found, Start

WEIGHTS = "model.safetensors"


class Full:
    """Trains whatever the model itself declares trainable; there are no adapters."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> nn.Module:  # noqa: ARG002
        """Return the model unchanged."""
        return headed.model

    def during(self, model: nn.Module, plan: RankPlan, start: Start) -> During:  # noqa: ARG002
        """Do nothing beside."""
        return During()

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:  # noqa: ARG002
        """Count base and head; every rank of the plan is 0, so there is none to compare."""
        heads = {id(p): p for name in head for p in model.get_submodule(name).parameters()}
        base = [p for p in model.parameters() if p.requires_grad and id(p) not in heads]
        of_head = sum(p.numel() for p in heads.values())
        return Found({}, sum(p.numel() for p in base), of_head)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Collect all weights and buffers; of tied ones the first name alone."""
        state: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in model.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                state[name] = tensor.detach().cpu().contiguous()
        return state

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write config.json and model.safetensors, a checkpoint as transformers reads it."""
        assert isinstance(model, PreTrainedModel)
        folder.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.save_pretrained(str(folder))
        write_tensors(folder / WEIGHTS, self.state(model))

    def load(self, headed: Headed, folder: Path) -> nn.Module:
        """Load the weights into the model of the same task."""
        path = folder / WEIGHTS
        tensors = read_tensors(path)
        try:
            headed.model.load_state_dict(tensors, strict=False)
        except RuntimeError as error:
            raise damaged(path, error) from None
        check_loaded(path, tensors, self.state(headed.model))
        return headed.model
