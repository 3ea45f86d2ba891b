"""What scoring a model would take, from its config and tokenizer alone: no weight is loaded."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from adarank.models.loading import loading
from adarank.models.modules import Module, find_modules
from adarank.models.stacks import find_stacks
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.outputs import Batch
from adarank.scoring.score import Settings

GIB = 2**30
_FLOAT32, _FLOAT64 = 4, 8  # bytes
# In forwards: a forward with the gradients of the inputs and the norms of the weights', and a
# draw that computes again what comes after its module. The first is measured on six blocks
# (docs/linearized.md), the second derived: half the blocks on average, and the comparison.
_SKETCH, _DRAW = 2.5, 0.6
# An eigendecomposition of m rows holds 4 m^2 numbers (matrix, vectors, workspace), and takes as
# long as 22 m^3 operations of a float32 matrix product: measured at 384 and 512 rows.
_EIGEN_HELD, _EIGEN_TIME = 4, 22


@dataclass(frozen=True)
class Expected:
    """What scoring would take.

    Attributes:
        modules: How many would be scored, if all run on the probe.
        parameters: Of the model.
        forwards: Forwards of the whole probe, or what takes as long; 0: the weights alone are read.
        memory: Bytes: the weights in float32, and what a pass holds beside them.
        seconds: On this machine's CPU, by a matrix product timed now; without loading.
    """

    modules: int
    parameters: int
    forwards: float
    memory: float
    seconds: float

    def in_words(self) -> str:
        """Describe it in a line."""
        work = f"{self.forwards:.3g} forwards of the probe, " if self.forwards else ""
        return (
            f"{self.modules} modules, {self.parameters:,} parameters: about {work}"
            f"{self.memory / GIB:.2g} GiB and {_duration(self.seconds)} on one CPU core"
        )


def empty_model(folder: Path, *, with_head: bool) -> nn.Module:
    """Build a model folder's architecture without weights, on the meta device.

    Raises:
        InputError: The config cannot be read.
    """
    with loading(
        "the model's config cannot be read", folder, expected="config.json of transformers"
    ):
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        maker: Any = AutoModelForCausalLM if with_head else AutoModel
        with torch.device("meta"):
            return maker.from_config(config)


def expected(
    model: nn.Module, batches: Sequence[Batch], kinds: Sequence[str], settings: Settings
) -> Expected:
    """Estimate what scoring takes.

    Memory is that of the weights and, for a pass over the largest batch, of what a backward needs
    of every module (linearized) or of one block's (exact), twice the largest weight beside it.
    Time is two operations per weight, token and forward, at the speed of a matrix product.

    Args:
        model: On any device, the meta device too.
        batches: The probe.
        kinds: Kinds of module, or all-linear.
        settings: The estimator's.
    """
    modules = find_modules(model, kinds)
    everything = find_modules(model)
    parameters = sum(p.numel() for p in model.parameters())
    tokens = [next(iter(batch.values())).numel() for batch in batches]
    forwards, held = _SKETCH * getattr(settings, "sketches", 1), float(_saved(everything))
    if isinstance(settings, Exact):
        draws = settings.trials * (2 if settings.reference == "perturbed" else 1)
        blocks = sum(len(stack.blocks) for stack in find_stacks(model))
        forwards, held = _DRAW * draws * len(modules), 2 * held / max(blocks, 1)
    largest = max(module.d_in * module.d_out for module in everything)
    memory = _FLOAT32 * (parameters + max(tokens) * held + 2 * largest)
    products = 2.0 * sum(module.d_in * module.d_out for module in everything) * sum(tokens)
    return Expected(len(modules), parameters, forwards, memory, forwards * products / _speed())


def expected_of_weights(model: nn.Module, kinds: Sequence[str]) -> Expected:
    """Estimate what scoring by a learned order takes: a decomposition of every weight.

    Memory is that of the weights in float32, and of the largest weight's decomposition in float64:
    the weight, and four matrices of its smaller side. Time is that of the Gram matrices and their
    eigenvectors, one weight after the other.

    Args:
        model: On any device, the meta device too.
        kinds: Kinds of module, or all-linear.
    """
    modules = find_modules(model, kinds)
    parameters = sum(p.numel() for p in model.parameters())
    sides = [sorted((module.d_in, module.d_out)) for module in modules]
    held = max(small * large + _EIGEN_HELD * small**2 for small, large in sides)
    # A float64 product takes twice as long as a float32 one.
    products = sum(4.0 * small**2 * large + _EIGEN_TIME * small**3 for small, large in sides)
    memory = _FLOAT32 * parameters + _FLOAT64 * held
    return Expected(len(modules), parameters, 0.0, memory, products / _speed())


def _saved(modules: Sequence[Module]) -> int:
    """Count the numbers per token that autograd keeps: a module's inputs, its outputs twice."""
    return sum(module.d_in + 2 * module.d_out for module in modules)


def _speed() -> float:
    """Time a matrix product on one core, in operations per second."""
    size, threads = 512, torch.get_num_threads()
    matrix = torch.ones(size, size)
    torch.set_num_threads(1)
    try:
        _ = matrix @ matrix
        began = time.perf_counter()
        for _ in range(4):
            _ = matrix @ matrix
        return 4 * 2 * size**3 / (time.perf_counter() - began)
    finally:
        torch.set_num_threads(threads)


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"
