"""What `bench.memory` measures: scoring, training and merging random-weight Llamas."""

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from adarank.merging.closed_form import MergedWeights
from adarank.merging.registry import complete, method_named
from adarank.models.modules import find_modules
from adarank.models.stacks import base_model
from adarank.ordering.learned_order import learned_order
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.reading import read_members
from adarank.pipeline.merging.writing import write_full
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.estimators.published import AsPublished, as_published
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.gradient_directions import gradient_directions
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.stable_rank import stable_rank
from adarank.scoring.signals.weight_gradient import weight_gradient

SHAPES = {10: (256, 12), 40: (512, 12), 85: (768, 12), 160: (1024, 12), 600: (1536, 20)}
"""Width and blocks, by millions of parameters."""
_BOUND = 0.125  # GiB, of the cases that are bounded
_SHARD = 2**26  # bytes, in place of the 4 GB that are merged at once


@dataclass(frozen=True)
class Case:
    """Something whose peak memory is measured.

    Attributes:
        run: Is given the model, or the folder that `prepare` filled.
        dtype: Of the model.
        prepare: Fills a folder, in a process of its own; None for what needs no folder.
        bounded: Whether it is given a bound of memory, which the smallest model does not reach.
    """

    run: Callable[[Any], object]
    dtype: torch.dtype = torch.float32
    prepare: Callable[[nn.Module, Path], None] | None = None
    bounded: bool = False


def empty_llama(width: int, blocks: int, dtype: torch.dtype = torch.float32) -> Any:
    """Make a Llama on the meta device."""
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=width,
        intermediate_size=round(width * 2.6875),
        num_hidden_layers=blocks,
        num_attention_heads=width // 64,
        use_cache=False,
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
        return model.to(dtype)


def random_llama(width: int, blocks: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Make a Llama of random weights, each of which is written once."""
    model = empty_llama(width, blocks, dtype)
    model.to_empty(device="cpu")
    model.model.rotary_emb = LlamaRotaryEmbedding(model.config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.uniform_(-0.03, 0.03, generator=generator)
    return model.eval()


def batch_of_tokens() -> dict[str, torch.Tensor]:
    """Make two texts of eight tokens."""
    tokens = torch.randint(1, 1000, (2, 8), generator=torch.Generator().manual_seed(0))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _by_disturbing(
    run: Callable[[nn.Module, list[Any], list[Any]], object], *, bounded: bool = False
) -> Case:
    def case(model: nn.Module) -> None:
        base = base_model(model)[1]
        run(base, [batch_of_tokens()], find_modules(base))

    return Case(case, bounded=bounded)


def _by_labels(run: Callable[..., object], **options: Any) -> Case:
    def case(model: nn.Module) -> None:
        batch = batch_of_tokens()
        run(model, [batch | {"labels": batch["input_ids"]}], find_modules(model), **options)

    return Case(case, bounded=options.get("memory_gb") == _BOUND)


def _exact(model: nn.Module, batches: list[Any], modules: list[Any]) -> None:
    # What a pass holds does not depend on its module's depth; the last block takes least time.
    last = [module for module in modules if module.block == modules[-1].block]
    exact(model, batches, last, Exact(trials=2, memory_gb=2))


def _linearized(model: nn.Module, batches: list[Any], modules: list[Any]) -> None:
    linearized(model, batches, modules, Linearized())


def _as_published(
    model: nn.Module, batches: list[Any], modules: list[Any], memory_gb: float | None = None
) -> None:
    # Every module is copied first and disturbed in turn: the first one's turn shows the peak.
    def stop() -> None:
        raise StopIteration

    settings = AsPublished(trials=1, memory_gb=memory_gb)
    with suppress(StopIteration):
        as_published(model, batches, modules, settings, advance=stop)


def _finetune(model: nn.Module) -> None:
    adapted = get_peft_model(model, LoraConfig(r=1, target_modules="all-linear"))  # pyright: ignore
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    batch = batch_of_tokens()
    for _ in range(2):
        adapted(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _save_two_adapters(model: Any, folder: Path) -> None:
    model.save_pretrained(folder / "base")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
        adapted = get_peft_model(model, config)  # pyright: ignore
        adapted.save_pretrained(str(folder / name))
        model = adapted.unload()
    gc.collect()


def _merge(folder: Path, method: str) -> None:
    base = read_base(folder / "base")
    members = read_members(base, {name: folder / name for name in ("one", "two")})
    chosen = method_named(method)
    merged = MergedWeights(members, chosen, complete(chosen, {}))
    write_full(folder / method, base, merged, members, shard_bytes=_SHARD)


CASES: dict[str, Case] = {
    "the model alone": Case(lambda _: None),
    "linearized": _by_disturbing(_linearized),
    "exact": _by_disturbing(_exact),
    "as_published, unbounded": _by_disturbing(partial(_as_published, memory_gb=1e3)),
    "as_published, bounded": _by_disturbing(partial(_as_published, memory_gb=_BOUND), bounded=True),
    "learned order": _by_disturbing(lambda model, _, modules: learned_order(model, modules)),
    "stable_rank": _by_disturbing(lambda model, _, modules: stable_rank(model, modules)),
    "weight_gradient, unbounded": _by_labels(weight_gradient, memory_gb=1e3),
    "weight_gradient, bounded": _by_labels(weight_gradient, memory_gb=_BOUND),
    "gradient_spectrum, bounded": _by_labels(gradient_spectrum, components=4, memory_gb=_BOUND),
    "gradient_directions, bounded": _by_labels(gradient_directions, components=4, memory_gb=_BOUND),
    "fisher": _by_labels(fisher),
    "activation_variance, bounded": _by_labels(activation_variance, components=4, memory_gb=_BOUND),
    "input_directions, bounded": _by_labels(input_directions, components=4, memory_gb=_BOUND),
    "finetune, rank 1": Case(_finetune),
    "finetune, rank 1, base in bfloat16": Case(_finetune, torch.bfloat16),
    "merge, task_arithmetic": Case(
        partial(_merge, method="task_arithmetic"), prepare=_save_two_adapters
    ),
    "merge, ties": Case(partial(_merge, method="ties"), prepare=_save_two_adapters),
}
