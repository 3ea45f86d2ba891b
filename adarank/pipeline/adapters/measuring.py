"""What an adapter's base model sees of each update: inputs and loss gradients over a few texts."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import PeftModel
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerBase,
)

from adarank.errors import Problem, RunError, input_error
from adarank.models.loading import loading
from adarank.pipeline.adapters.reading import PREFIX, Adapter
from adarank.pipeline.artifacts.model import check_model, load_tokenizer
from adarank.pipeline.console.progress import progress
from adarank.pipeline.files.whole import read_json
from adarank.tuning.lora import ADAPTER, quietly
from adarank.tuning.update_statistics import Seen, watch

_HEADS = ("classifier.weight", "classifier.out_proj.weight", "score.weight")


@dataclass
class Statistics:
    """What was seen of every linear layer, by name, over so many texts."""

    texts: int
    modules: dict[str, Seen] = field(default_factory=dict[str, Seen])


def load_adapted(adapter: Adapter, base: Path) -> PeftModel:
    """Load the adapter into its base model, for a causal LM or a classifier of texts.

    Raises:
        InputError: Another task, a quantised base, a base that cannot be loaded, or one that the
            adapter does not fit.
    """
    check_model(base)
    _refuse_quantised(base)
    task = adapter.config.get("task_type")
    loader: Any = {
        "CAUSAL_LM": AutoModelForCausalLM,
        "SEQ_CLS": AutoModelForSequenceClassification,
    }.get(str(task))
    if loader is None:
        raise input_error(
            "no loss is known for adapters of this task",
            where="adapter_config.json: task_type",
            got=str(task),
            expected="CAUSAL_LM or SEQ_CLS",
            remedy="leave out --texts: the squared norm decides then",
        )
    transformers.logging.set_verbosity_error()  # a classifier's head comes with the adapter
    transformers.logging.disable_progress_bar()
    options = {} if task == "CAUSAL_LM" else {"num_labels": _labels(adapter)}
    with quietly(), loading("the base model cannot be loaded", base, expected="a whole checkpoint"):
        model = loader.from_pretrained(
            base,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    try:
        with quietly():
            adapted = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=True)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _another_base(base, " ".join(str(error).split())) from None
    missing = {part.name for part in adapter.linear} - layers(adapted).keys()
    if missing:
        raise _another_base(base, f"not there: {', '.join(sorted(missing))}")
    return adapted.eval()


def layers(model: PeftModel) -> dict[str, nn.Module]:
    """Find the adapted linear layers by full name."""
    modules = model.get_base_model().named_modules()
    return {name: module for name, module in modules if ADAPTER in getattr(module, "lora_A", ())}


def measure(
    adapter: Adapter, base: Path, texts: Sequence[str], *, max_length: int = 128
) -> Statistics:
    """Run texts through the adapted model, forward and backward.

    One text at a time, so there is no padding. A causal LM's loss is that of its next tokens,
    summed over the text; a classifier's that of a label drawn from its own answer (the Fisher
    information, which needs no labels). Dropout is off.

    Args:
        adapter: The adapter.
        base: Its base model's folder, with a tokenizer.
        texts: At least one.
        max_length: Longest text in tokens; the rest is cut.

    Raises:
        InputError: See `load_adapted`.
        RunError: A loss that is not finite.
    """
    model, tokenizer = load_adapted(adapter, base), load_tokenizer(base)
    seen = Statistics(len(texts))
    generator = torch.Generator().manual_seed(0)
    causal = adapter.config["task_type"] == "CAUSAL_LM"
    with ExitStack() as hooks, progress("texts", len(texts), delay=2) as advance:
        for name, layer in layers(model).items():
            seen.modules[name] = watch(layer, hooks)
        for text in texts:
            batch = _encoded(tokenizer, text, max_length)
            loss = _next_tokens(model, batch) if causal else _own_label(model, batch, generator)
            if not loss.isfinite():
                raise RunError(Problem("the loss is not finite", "--texts", text))
            loss.backward()
            model.zero_grad(set_to_none=True)
            advance()
    return seen


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> dict[str, Tensor]:
    encoded = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
    # Not token_type_ids, which GPT-2 would take for tokens.
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _next_tokens(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    logits = model(**batch).logits[0, :-1]
    return nn.functional.cross_entropy(logits, batch["input_ids"][0, 1:], reduction="sum")


def _own_label(model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    logits = model(**batch).logits
    label = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
    return nn.functional.cross_entropy(logits, label)


def _labels(adapter: Adapter) -> int:
    heads = [key for key in adapter.others if key.removeprefix(PREFIX).endswith(_HEADS)]
    if not heads:
        raise input_error(
            "this classifier's adapter has no head of a known name",
            where=str(adapter.folder),
            got=", ".join(adapter.others) or "nothing beside the factors",
            expected="classifier or score, saved whole (modules_to_save)",
            remedy="leave out --texts: the squared norm decides then",
        )
    return len(next(iter(adapter.tensors(heads[:1]).values())))


def _refuse_quantised(base: Path) -> None:
    quantised = read_json(base / "config.json").get("quantization_config")
    if quantised:
        raise input_error(
            "a quantised base model",
            where=str(base / "config.json"),
            got=f"quantization_config: {quantised}",
            expected="the weights in a floating-point format",
            remedy="name the unquantised model, or leave out --texts",
        )


def _another_base(base: Path, got: str) -> Exception:
    return input_error(
        "the adapter does not fit this base model",
        where=str(base),
        got=got,
        expected="the model that the adapter was trained on",
        remedy="adapter_config.json names it: base_model_name_or_path",
    )
