"""What others do to the same end, written from their published descriptions."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from adarank.models.modules import resolve
from adarank.scoring.noise import Noise, disturbed, draw
from adarank.scoring.outputs import compared_output
from bench.subjects import Subject


def kl(pristine: Tensor, moved: Tensor) -> Tensor:
    """KL(pristine, moved) of the softmax distributions, in nats, shape (rows,)."""
    wanted, found = pristine.log_softmax(-1), moved.log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1)


def l2(pristine: Tensor, moved: Tensor) -> Tensor:
    """Root mean squared difference, shape (rows,)."""
    return (moved - pristine).square().mean(-1).sqrt()


BETWEEN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"KL": kl, "L2": l2}


@torch.no_grad()
def one_at_a_time(subject: Subject, seed: int) -> dict[str, np.ndarray]:
    """Score as NVIDIA ModelOpt's AutoQuantize does with method kl_div.

    One module at a time is disturbed, the whole model runs, and its output is compared with the
    undisturbed model's; nothing is kept between modules. Costs 1 + n_modules forwards. Its
    disturbance is a quantization format; here it is one draw of our noise, so that methods differ
    in procedure alone. Source: Model Optimizer's documentation, modelopt.torch.quantization.

    Returns:
        The mean over rows by each distance of BETWEEN, each of shape (n_modules,). KL grows with
        the square of a difference, so its shares are more extreme; its order is comparable.
    """
    model, noise = subject.model, Noise()
    pristine = _outputs(subject)
    scores: dict[str, list[float]] = {name: [] for name in BETWEEN}
    for module in subject.modules:
        layer = model.get_submodule(resolve(model, module.name))
        drawn = draw(layer, noise, seed=seed, name=module.name, index=0)
        with disturbed(layer, drawn, module.name):
            moved = _outputs(subject)
        for name, between in BETWEEN.items():
            scores[name].append(between(pristine, moved).double().mean().item())
    return {name: np.array(values) for name, values in scores.items()}


def gradient_times_weight(subject: Subject) -> np.ndarray:
    """Score by the mean of |W * dL/dW|, from one forward and one backward.

    The usual first-order saliency (Molchanov et al. 2017, arXiv 1611.06440). It needs a loss; a
    probe without labels has none, so L is half the mean squared output.

    Returns:
        Shape (n_modules,).
    """
    weights = [
        subject.model.get_submodule(resolve(subject.model, module.name)).get_parameter("weight")
        for module in subject.modules
    ]
    totals = [torch.zeros_like(weight) for weight in weights]
    for batch in subject.batches:
        loss = compared_output(subject.model, batch, "pooled").float().square().mean() / 2
        gradients = torch.autograd.grad(loss, weights)
        for total, gradient in zip(totals, gradients, strict=True):
            total += gradient
    products = zip(weights, totals, strict=True)
    return np.array([(w.detach() * total).abs().mean().item() for w, total in products])


def _outputs(subject: Subject) -> Tensor:
    parts = [compared_output(subject.model, batch, "pooled") for batch in subject.batches]
    return torch.cat(parts).float()
