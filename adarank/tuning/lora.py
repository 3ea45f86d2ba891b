"""LoRA adapters with a plan's ranks: built into a model, and read back from it."""

import math
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.errors import Problem, RunError
from adarank.models.bias_norm import BiasNorm
from adarank.models.stacks import base_model
from adarank.tasks.base import Headed
from adarank.tuning.seeds import generator

ADAPTER = "default"
"""PEFT's own name for a model's only adapter."""


@dataclass(frozen=True)
class Built:
    """One adapter as it stands in a model, read from its layer and not from any config.

    Attributes:
        rank: Rows of A, which are columns of B.
        scale: What B A x is multiplied by.
        alpha: LoRA's alpha, from which PEFT made the scale.
        parameters: Entries of A and B.
    """

    rank: int
    scale: float
    alpha: float
    parameters: int


def attach(
    headed: Headed, plan: RankPlan, *, peft_type: str, dropout: float, seed: int
) -> PeftModel:
    """Put a plan's adapters into a model; the head is trained whole beside them.

    A is drawn per module, by seed and module name: two plans of the same seed start from the
    same rows wherever both have them. B starts at zero.

    Args:
        headed: The model with its head; changed in place.
        plan: The ranks.
        peft_type: PEFT's name of the task.
        dropout: LoRA's dropout, on the adapters' inputs.
        seed: Decides A.

    Returns:
        PEFT's model, in which ranks, scales and trainable parameters have been read back.

    Raises:
        RunError: What was built differs from the plan.
    """
    config = plan.lora_config(
        headed.model,
        task_type=TaskType(peft_type),
        lora_dropout=dropout,
        modules_to_save=list(headed.head) or None,
    )
    with torch.random.fork_rng(devices=[]), quietly():
        model = get_peft_model(headed.model, config)
    if plan.bias_norm is not None:
        _train_biases(model, plan.bias_norm)
    for name, layer in layers_of(model).items():
        weight = factors_of(layer)[0]
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator(seed, "lora", name))
    verify(model, plan, headed.head)
    _verify_trainable(model, plan)
    return model


def _train_biases(model: PeftModel, bias_norm: BiasNorm) -> None:
    """Freeze the biases that are not the plan's: PEFT has trained all of the model's."""
    wanted = {id(bias) for bias in _biases(model, bias_norm).values()}
    whole = {id(p) for p in _trained_whole(model)}
    for name, p in model.named_parameters():
        if name.endswith(".bias") and id(p) not in whole:
            p.requires_grad_(id(p) in wanted)


def _biases(model: PeftModel, bias_norm: BiasNorm) -> dict[str, nn.Parameter]:
    base = base_model(model.get_base_model())[1]
    found: dict[str, nn.Parameter] = {}
    for name in bias_norm.biases:
        layer: Any = base.get_submodule(name)
        bias: Any = (layer.get_base_layer() if isinstance(layer, LoraLayer) else layer).bias
        if bias is not None:
            found[name] = bias
    return found


def _trained_whole(model: PeftModel) -> list[nn.Parameter]:
    wrapped: Any = model.get_base_model().modules()
    kept = (m.modules_to_save[ADAPTER] for m in wrapped if isinstance(m, ModulesToSaveWrapper))
    return [p for module in kept for p in module.parameters()]


def bias_norm_parameters(model: PeftModel, plan: RankPlan) -> int:
    """Count the biases and norms that a model trains beside its adapters, as they are in it.

    Raises:
        RunError: Others than the plan's; every one.
    """
    if plan.bias_norm is None:
        return 0
    whole, prefix = head_parameters(model), _prefix(model)
    biases = {name: bias.numel() for name, bias in _biases(model, plan.bias_norm).items()}
    norms = {name: whole.get(f"{prefix}{name}", 0) for name in plan.bias_norm.norms}
    problems = [
        Problem("trained beside the adapters", name, got.get(name, 0), f"{count} parameters")
        for got, expected in ((biases, plan.bias_norm.biases), (norms, plan.bias_norm.norms))
        for name, count in expected.items()
        if got.get(name, 0) != count
    ]
    if problems:
        raise RunError(*problems)
    return sum(biases.values()) + sum(norms.values())


def _prefix(model: PeftModel) -> str:
    name = base_model(model.get_base_model())[0]
    return f"{name}." if name else ""


def read_ranks(model: PeftModel) -> dict[str, Built]:
    """Read every adapter in a model from its layer.

    Returns:
        By the module's name in the base model.
    """
    return {name: _built(layer) for name, layer in layers_of(model).items()}


def layers_of(model: PeftModel) -> dict[str, LoraLayer]:
    """Find every adapted layer, by the module's name in the base model."""
    base = base_model(model.get_base_model())[1]
    return {
        name: layer
        for name, layer in base.named_modules()
        if isinstance(layer, LoraLayer) and ADAPTER in layer.lora_A
    }


def head_parameters(model: PeftModel) -> dict[str, int]:
    """Count what is trained whole, by full name in the transformers model."""
    wrapped: dict[str, Any] = {
        name: module.modules_to_save
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    }
    return {
        name: sum(p.numel() for p in copies[ADAPTER].parameters())
        for name, copies in wrapped.items()
    }


def verify(model: PeftModel, plan: RankPlan, head: tuple[str, ...]) -> dict[str, Built]:
    """Compare the adapters in a model with the plan, and what is trained whole with the head.

    Returns:
        The adapters, as read.

    Raises:
        RunError: Names every module whose rank, scale or parameters differ, got and expected.
    """
    built = read_ranks(model)
    scaling = plan.scaling
    expected = {
        module.name: Built(module.rank, scaling[module.name], module.alpha, module.parameters)
        for module in plan.adapted
    }
    problems = [
        Problem("the adapter differs from the plan", name, *_in_words(built, expected, name))
        for name in sorted(built.keys() | expected.keys())
        if not _same(built.get(name), expected.get(name))
    ]
    norms = [_prefix(model) + name for name in plan.bias_norm.norms] if plan.bias_norm else []
    whole, expected_whole = tuple(sorted(head_parameters(model))), tuple(sorted([*head, *norms]))
    if whole != expected_whole:
        what = "trained whole beside the adapters"
        problems.append(Problem(what, "head", whole, f"{expected_whole}"))
    if problems:
        raise RunError(*problems)
    return built


def full_names(model: PeftModel) -> list[str]:
    """List the adapted modules by their full names in the transformers model."""
    return [_prefix(model) + name for name in layers_of(model)]


@contextmanager
def quietly() -> Generator[None]:
    """Leave out PEFT's warnings about its own doings, and those that an error of ours follows.

    It uses a name that transformers has renamed, corrects its default for GPT-2's layers, and
    takes the masks in AdaLoRA's configuration for patterns of LoRA's, its rank 0 for a fault.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", r"fan_in_fan_out is set to False", UserWarning)
        masks = r"The following rank_pattern keys did not match .*\.lora_E'\]"
        warnings.filterwarnings("ignore", masks, RuntimeWarning)
        warnings.filterwarnings("ignore", r"Adapter .* LoRA tensor\(s\) have invalid shape")
        warnings.filterwarnings("ignore", r"Found missing adapter keys while loading")
        yield


def _built(layer: LoraLayer) -> Built:
    a, b = factors_of(layer)
    rank = int(a.shape[0])
    assert rank == b.shape[1] == layer.r[ADAPTER]
    scale, alpha = float(layer.scaling[ADAPTER]), float(layer.lora_alpha[ADAPTER])
    return Built(rank, scale, alpha, a.numel() + b.numel())


def factors_of(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """Return A, shape (rank, d_in), and B, shape (d_out, rank), of an adapted layer."""
    a: Any = layer.lora_A[ADAPTER]
    b: Any = layer.lora_B[ADAPTER]
    return a.weight, b.weight


def _same(got: Built | None, expected: Built | None) -> bool:
    if got is None or expected is None:
        return got is expected
    return (got.rank, got.parameters) == (expected.rank, expected.parameters) and math.isclose(
        got.scale, expected.scale, rel_tol=1e-6
    )


def _in_words(built: dict[str, Built], expected: dict[str, Built], name: str) -> tuple[str, str]:
    def words(one: Built | None) -> str:
        if one is None:
            return "no adapter"
        return f"rank {one.rank}, scale {one.scale:g}, {one.parameters} parameters"

    return words(built.get(name)), words(expected.get(name))


def _verify_trainable(model: PeftModel, plan: RankPlan) -> None:
    wanted = sum(one.parameters for one in read_ranks(model).values())
    wanted += sum(head_parameters(model).values())
    wanted += sum(plan.bias_norm.biases.values()) if plan.bias_norm else 0
    got = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if got != wanted:
        raise RunError(
            Problem(
                "trainable parameters",
                "model",
                got,
                f"{wanted}: adapters, head and the plan's biases and norms",
            )
        )
