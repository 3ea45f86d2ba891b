"""AdamW over the lines of a matrix: one line a run, each with its own learning rate."""

import torch
from torch import Tensor
from torch.optim import SGD

from adarank.tuning.loop.schedules import Schedule

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # the Trainer's


class LineAdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), line by line.

    Args:
        values: What is trained, shape (K, size); changed in place.
        rates: Every entry's learning rate at the schedule's height, shape (K, size).
        decay: Every entry's weight decay, shape (size,).
    """

    def __init__(self, values: Tensor, rates: Tensor, decay: Tensor):
        self.values, self._rates, self._decay = values, rates, decay
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, gradients: Tensor, step: int, factor: float) -> None:
        """Take a step.

        Args:
            gradients: Shape (K, size); a line of zeros for a run that is frozen.
            step: Counted from 1.
            factor: The schedule's, over its height.
        """
        rates = self._rates * factor
        self.values.mul_(1 - rates * self._decay)
        self.first.lerp_(gradients, 1 - _BETA1)
        self.second.mul_(_BETA2).addcmul_(gradients, gradients, value=1 - _BETA2)
        spread = (self.second / (1 - _BETA2**step)).sqrt_().add_(_EPSILON)
        self.values.sub_(rates / (1 - _BETA1**step) * self.first / spread)

    def freeze(self, line: int) -> None:
        """Leave a line as it is from now on."""
        self._rates[line] = 0.0


def clip(gradients: Tensor, norms: Tensor, limit: float) -> None:
    """Scale every line down to a norm of `limit`, as PyTorch's clipping does; 0 for never."""
    if limit:
        gradients.mul_((limit / (norms + 1e-6)).clamp_(max=1.0)[:, None])


def schedule_factors(schedule: Schedule, steps: int) -> list[float]:
    """List the learning rate's factor over its height at each step of a run.

    Example:
        >>> schedule_factors(Schedule("linear", warmup_steps=2), 4)
        [0.0, 0.5, 1.0, 0.5]
    """
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    shape = schedule.build(optimizer, steps)
    factors: list[float] = []
    for _ in range(steps):
        factors.append(float(shape.get_last_lr()[0]))
        optimizer.step()
        shape.step()
    return factors
