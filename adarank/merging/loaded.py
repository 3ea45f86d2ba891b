"""Members from models in memory: PEFT adapters and whole fine-tuned models of one base.

The one file of merging that looks into models; everything else works on task vectors.
"""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adarank.errors import InputError, Problem
from adarank.factors.svd import Update
from adarank.merging.task_vectors import Member, Vector
from adarank.models.stacks import base_model


def member_of(task: str, model: nn.Module, base: nn.Module) -> Member:
    """Return the task vectors of a model in memory.

    Args:
        task: The task's name.
        model: A PeftModel with a plain LoRA, or a whole model; with or without a head.
        base: The model that it was fine-tuned from, with or without a head.

    Raises:
        InputError: Another type of adapter, quantised layers, or weights that the base does not
            have or has in another shape.
    """
    body = base_model(base)[1]
    weights = {name: p.detach() for name, p in body.named_parameters()}
    if isinstance(model, PeftModel):
        vectors, head = _of_adapter(task, model, weights)
    else:
        vectors, head = _of_model(task, model, weights)
    embeddings = {f"{n}.weight" for n, m in body.named_modules() if isinstance(m, nn.Embedding)}
    excluded = tuple(sorted(embeddings & vectors.keys()))
    return Member(task, {n: v for n, v in vectors.items() if n not in embeddings}, head, excluded)


def with_body(model: nn.Module, body: nn.Module) -> tuple[nn.Module, str]:
    """A member's model with its own head on another body, which is held and not copied.

    Returns:
        The model, and the body's dotted name in it. The member itself stays as it is.
    """
    own: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    prefix = base_model(own)[0]
    headed = copy.copy(own)
    headed._modules = {name: _unwrapped(part) for name, part in own._modules.items()}
    if not prefix:
        return body, ""
    setattr(headed, prefix, body)
    return headed, prefix


def _unwrapped(part: nn.Module | None) -> nn.Module | None:
    if isinstance(part, ModulesToSaveWrapper):
        return part.modules_to_save[str(part.active_adapters[0])]
    return part


def _of_model(
    task: str, model: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Vector], dict[str, Tensor]]:
    prefix, own = base_model(model)
    tuned = {name: p.detach() for name, p in own.named_parameters()}
    wrong = [n for n in weights if n not in tuned or tuned[n].shape != weights[n].shape]
    quantised = [n for n, p in tuned.items() if not p.is_floating_point()]
    if wrong or quantised:
        raise InputError(_unfit(task, wrong[0]) if wrong else _quantised(task, quantised[0]))
    before = f"{prefix}." if prefix else "\0"
    head = {n: p.detach() for n, p in model.named_parameters() if not n.startswith(before)}
    vectors: dict[str, Vector] = {n: tuned[n].float() - w.float() for n, w in weights.items()}
    return vectors, head if prefix else {}


def _of_adapter(
    task: str, model: PeftModel, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Vector], dict[str, Tensor]]:
    own: Any = model.get_base_model()
    name = str(model.active_adapter)
    config: Any = model.peft_config[name]
    _refuse_variants(task, config)
    prefix = base_model(own)[0]
    before = f"{prefix}." if prefix else ""
    vectors: dict[str, Vector] = {}
    head: dict[str, Tensor] = {}
    for path, layer in own.named_modules():
        bare = path.removeprefix(before)
        if isinstance(layer, LoraLayer) and name in layer.lora_A:
            vectors[f"{bare}.weight"] = _update(task, bare, layer, name, weights)
        elif isinstance(layer, LoraLayer) and name in layer.lora_embedding_A:
            a, b = layer.lora_embedding_A[name].detach(), layer.lora_embedding_B[name].detach()
            vectors[f"{bare}.weight"] = Update(b.T, a.T, float(layer.scaling[name]))
        elif isinstance(layer, ModulesToSaveWrapper):
            trained: Any = layer.modules_to_save[name]
            for key, parameter in trained.named_parameters():
                if f"{bare}.{key}" in weights:
                    vectors[f"{bare}.{key}"] = parameter.detach() - weights[f"{bare}.{key}"]
                else:
                    head[f"{path}.{key}"] = parameter.detach()
    return vectors, head


def _refuse_variants(task: str, config: Any) -> None:
    """Refuse what is no plain LoRA, or trained biases beside it, which a merge would lose."""
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    beside = ("use_dora", "lora_bias", "target_parameters")
    found = [kind] if kind != "LORA" else [key for key in beside if getattr(config, key, None)]
    if kind == "LORA" and config.bias != "none":
        found.append(f"bias: {config.bias}")
    if found:
        what = "only plain LoRA adapters can be merged"
        raise InputError(
            Problem(what, task, ", ".join(found), "LoRA without DoRA and without bias")
        )


def _update(
    task: str, bare: str, layer: LoraLayer, name: str, weights: Mapping[str, Tensor]
) -> Update:
    inner: Any = layer.get_base_layer()
    if not inner.weight.is_floating_point():
        raise InputError(_quantised(task, bare))
    a, b = (cast(Any, part[name]).weight.detach() for part in (layer.lora_A, layer.lora_B))
    update = Update(a, b, float(layer.scaling[name]))
    if isinstance(inner, Conv1D):  # stores (d_in, d_out)
        update = Update(b.T, a.T, update.scale)
    there = weights.get(f"{bare}.weight")
    if there is None or tuple(there.shape) != (update.b.shape[0], update.a.shape[1]):
        raise InputError(_unfit(task, bare))
    return update


def _unfit(task: str, name: str) -> Problem:
    return Problem(
        "the member is of another base",
        f"{task}: {name}",
        "no such weight in the base, or one of another shape",
        "the same names and shapes",
        "name the base that it was trained from",
    )


def _quantised(task: str, name: str) -> Problem:
    return Problem(
        "a quantised member has no exact task vector",
        f"{task}: {name}",
        "weights that are no floating-point numbers",
        "float32, float16 or bfloat16",
        "load the member without quantisation",
    )


@torch.no_grad()
def add_to(model: nn.Module, vectors: Mapping[str, Vector]) -> None:
    """Add merged vectors to a model's base, in place."""
    weights = dict(base_model(model)[1].named_parameters())
    for name, vector in vectors.items():
        dense = vector.dense() if isinstance(vector, Update) else vector
        weights[name].add_(dense.to(weights[name]))
