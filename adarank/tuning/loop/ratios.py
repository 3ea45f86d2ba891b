"""Learning rates of parts: B's and the head's over that of A."""

from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class RateRatios:
    """How much faster than A the other parts of an adapter learn.

    LoRA+ (Hayou et al. 2024, arXiv 2402.12354): in wide models B should learn at a multiple of A's
    rate.

    Attributes:
        b: The rate of B over that of A.
        head: The rate of what PEFT trains as it is, head, biases and norms, over that of A.
    """

    b: float = 1.0
    head: float = 1.0

    def of(self, name: str) -> float:
        """Give the ratio of a parameter by its name in a PEFT model.

        Example:
            >>> RateRatios(b=8.0).of("base_model.model.layer.lora_B.default.weight")
            8.0
        """
        parts = name.split(".")
        if "lora_B" in parts:
            return self.b
        bias = parts[0] == "base_model" and parts[-1] == "bias"
        return self.head if "modules_to_save" in parts or bias else 1.0


SAME = RateRatios()
"""One rate for all that is trained."""


def split_groups(optimizer: Optimizer, model: nn.Module, ratios: RateRatios) -> None:
    """Divide an optimizer's groups, so that each holds parameters of one rate.

    To be called before the first step and before the schedule is made, which then scales every
    group's own rate. The parts of a group keep their order and its other settings; the rate that
    the first group begins with stays A's.

    Args:
        optimizer: Of the model's trained parameters; changed in place.
        model: Names the parameters.
        ratios: The rates' ratios.
    """
    ratio_of = {id(p): ratios.of(name) for name, p in model.named_parameters()}
    groups: list[dict[str, object]] = []
    for group in optimizer.param_groups:
        found = {ratio_of[id(p)] for p in group["params"]}
        for ratio in sorted(found, key=lambda ratio: (ratio != 1, ratio)):
            part = [p for p in group["params"] if ratio_of[id(p)] == ratio]
            groups.append({**group, "params": part, "lr": group["lr"] * ratio})
    optimizer.param_groups[:] = groups
