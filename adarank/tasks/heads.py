"""Loading a pretrained model under a new head, and finding what of it is new."""

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from adarank.errors import input_error
from adarank.models.form import FLOAT32, BaseForm, in_float32, loading_options
from adarank.models.loading import loading
from adarank.models.plain import check_plain
from adarank.models.recovery import is_pooler, recover_tied, weights_in_words
from adarank.models.stacks import base_model
from adarank.scoring.text_inputs import most_tokens
from adarank.tasks.base import Headed


def load_headed(
    auto_class: Any, folder: Path, seed: int, form: BaseForm = FLOAT32, **config: Any
) -> Headed:
    """Load a checkpoint with a task's head on it.

    Args:
        auto_class: A transformers auto class, such as AutoModelForSequenceClassification.
        folder: The model folder.
        seed: Decides the head's initial weights, and nothing else does.
        form: In which the base is held; the head is in float32.
        config: What the head needs in the model's configuration.

    Raises:
        InputError: No such class for this model, weights lacking inside its blocks, or a package
            that the form needs.
    """
    # A head trained for other labels is replaced by a new one.
    model, new = _load(auto_class, folder, seed, form, ignore_mismatched_sizes=True, **config)
    return _headed(model, head_names(model, new), form)


def load_writer(auto_class: Any, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
    """Load a checkpoint as a model that writes text, with the head that it was pretrained with.

    Args:
        auto_class: AutoModelForCausalLM or AutoModelForSeq2SeqLM.
        folder: The model folder.
        seed: Decides the weights of a head that the checkpoint lacks, and nothing else does.
        form: In which the model is held, but for parts that the checkpoint lacks.

    Returns:
        Headed.head is empty, but for parts that the checkpoint lacks.

    Raises:
        InputError: No such class for this model, or weights lacking inside its blocks.
    """
    model, new = _load(auto_class, folder, seed, form)
    return _headed(model, tuple(sorted(_new_parts(model, new))), form)


def _headed(model: Any, head: tuple[str, ...], form: BaseForm) -> Headed:
    if not form.plain:
        in_float32(model, head)
    return Headed(model, head)


def head_names(model: nn.Module, new_weights: Iterable[str]) -> tuple[str, ...]:
    """List what is to be trained whole: the modules outside the base, and new ones inside it.

    A pretrained pooler is inside the base and not new, so it stays frozen; one that the
    checkpoint lacks is as new as the classifier and is trained with it.

    Args:
        model: A model with a head.
        new_weights: Full names of the weights that were not in the checkpoint.

    Raises:
        InputError: A new weight lies inside the repeated blocks or the embeddings: the
            checkpoint is damaged or of another model.
    """
    prefix, base = base_model(model)
    outside = [
        name
        for name, child in model.named_children()
        if child is not base and any(True for _ in child.parameters())
    ]
    inside = [key for key in new_weights if prefix and key.startswith(f"{prefix}.")]
    return tuple(sorted([*outside, *_new_parts(model, inside)]))


def check_positions(model: nn.Module, max_length: int) -> None:
    """Refuse texts longer than the model has positions for (a tokenizer may know no limit).

    Raises:
        InputError: `max_length` is over the model's number of positions.
    """
    limit = most_tokens(model)
    if limit is not None and max_length > limit:
        raise input_error(
            "longer than the model takes",
            where="max_length",
            got=max_length,
            expected=f"at most {limit} tokens",
            remedy=f"max_length: {limit}, or less",
        )


def _load(
    auto_class: Any, folder: Path, seed: int, form: BaseForm, **config: Any
) -> tuple[Any, list[str]]:
    """Load a model; gives it and the names of its weights that the checkpoint did not have."""
    options = loading_options(form)
    # The caller's random state stays as it was; the head's draws start from the seed alone.
    with torch.random.fork_rng(devices=[]), _quietly():
        torch.manual_seed(seed)
        with loading(
            f"cannot be loaded with {auto_class.__name__}",
            folder,
            expected="a model folder of a type that this task supports",
            remedy="another model.source, or another type of task",
        ):
            model, info = auto_class.from_pretrained(
                folder,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
                **options,
                **config,
            )
            missing = recover_tied(model, sorted(info["missing_keys"]), folder)
    if form.quantization is None:
        check_plain(model)
    return model, [*missing, *(key for key, *_ in info["mismatched_keys"])]


def _new_parts(model: nn.Module, new_weights: list[str]) -> set[str]:
    """Name the parts that new weights make up: children of the base, or of the whole model."""
    prefix = base_model(model)[0]
    owners = {_owner(key, prefix) for key in new_weights}
    for owner in sorted(owners):
        _check_new(model, owner, new_weights)
    return owners


def _owner(key: str, prefix: str) -> str:
    inside = prefix and key.startswith(f"{prefix}.")
    return ".".join(key.split(".")[: prefix.count(".") + 2 if inside else 1])


def _check_new(model: nn.Module, owner: str, new_weights: list[str]) -> None:
    """Refuse missing weights unless they are the whole of an output layer or of a pooler."""
    prefix = base_model(model)[0]
    part = model.get_submodule(owner)
    lacking = sorted(key for key in new_weights if key == owner or key.startswith(f"{owner}."))
    outside = prefix != "" and not owner.startswith(f"{prefix}.") and owner != prefix
    writes = part is getattr(model, "get_output_embeddings", lambda: None)()
    whole = len(lacking) == len(list(part.parameters()))
    embeds = any(isinstance(child, nn.Embedding | nn.ModuleList) for child in part.modules())
    if not whole or embeds or not (outside or writes or is_pooler(owner)):
        raise input_error(
            "the checkpoint lacks weights of the pretrained model, which would be random",
            where=owner,
            got=weights_in_words(model, lacking),
            expected="every weight but the head's",
            remedy="check model.source, and download it again",
        )


@contextmanager
def _quietly() -> Generator[None]:
    """Leave out the bar of a load, and the report on new weights, which `Headed.head` replaces."""
    logger = logging.getLogger("transformers.modeling_utils")
    bar = transformers.logging.is_progress_bar_enabled()
    logger.addFilter(_is_no_load_report)
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.removeFilter(_is_no_load_report)
        if bar:
            transformers.logging.enable_progress_bar()


def _is_no_load_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()
