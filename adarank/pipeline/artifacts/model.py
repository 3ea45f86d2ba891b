"""Loading the downloaded model, quietly, from data/model alone."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from adarank.errors import InputError, input_error
from adarank.models.form import FLOAT32, BaseForm, loading_options
from adarank.models.loading import loading
from adarank.models.plain import check_plain
from adarank.models.recovery import recover_tied, weights_in_words
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.params.model import ModelSection
from adarank.scoring.text_inputs import padding_token

_WHOLE = "config.json and safetensors of one model, whole"
_TOKENIZER = "tokenizer.json or another tokenizer's files beside config.json"


def pick_device(name: str) -> torch.device:
    """Turn `auto` into the best device there is; InputError for one that is absent."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        # A launcher's processes take a GPU each.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        # A device is there if something can be put on it.
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise input_error(
            "no such device here",
            where="device",
            got=name,
            expected=f"auto, cpu{', cuda' if torch.cuda.is_available() else ''} on this machine",
            remedy="auto takes the best that there is",
        ) from None


def check_model(folder: Path) -> None:
    """Refuse a folder without a model: InputError."""
    if not (folder / "config.json").exists():
        raise input_error(
            "no model here",
            where=str(folder),
            got="no config.json",
            expected="config.json, a tokenizer and safetensors",
            remedy="`dvc repro download@model` fetches it",
        )


def form_of(section: ModelSection) -> BaseForm:
    """Return the form that the section model asks for."""
    return BaseForm(section.dtype, section.quantization)


def load_model(
    folder: Path, *, with_head: bool = False, form: BaseForm = FLOAT32, sharded: bool = False
) -> nn.Module:
    """Load a checkpoint: the bare model, or the class that its config names.

    A pooler that the checkpoint has no weights of is taken off: it would be random.

    Args:
        folder: The model's.
        with_head: Whether to load the class that config.json names.
        form: Its dtype; its weights are never packed here.
        sharded: Whether accelerate spreads the blocks over all GPUs, where one is too small.

    Raises:
        InputError: No checkpoint there, one that cannot be read or lacks weights, or a head
            wanted and the checkpoint names none.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    check_model(folder)
    options = loading_options(replace(form, quantization=None))
    options |= {"device_map": "auto"} if sharded else {}
    model, missing = _loaded(_headed_class(folder) if with_head else AutoModel, folder, options)
    check_plain(model)
    with loading("the model cannot be loaded", folder, expected=_WHOLE):
        missing = recover_tied(model, missing, folder)
    if [name for name in missing if with_head or not name.startswith("pooler.")]:
        raise _incomplete(folder, missing, weights_in_words(model, missing))
    if missing:
        say("model: the checkpoint has no pooler; pooled output is the first token's last state")
        model.pooler = None
    return model


def _loaded(loader: Any, folder: Path, options: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """A model and the names of the weights that the checkpoint lacks."""
    with loading("the model cannot be loaded", folder, expected=_WHOLE):
        model, notes = loader.from_pretrained(
            folder,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,  # trusted code has been registered (remote_code.py)
            use_safetensors=True,
            **options,
        )
    return model, sorted(notes["missing_keys"])


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the checkpoint's tokenizer.

    Raises:
        InputError: It cannot be read, needs code that is not trusted, or knows no word.
    """
    with loading("the tokenizer cannot be loaded", folder, expected=_TOKENIZER):
        tokenizer = _read_tokenizer(folder)
    _ensure_padding(tokenizer, folder)
    # Without its files transformers makes some up, to which every word is unknown.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise input_error(
            "the tokenizer knows no word",
            where=str(folder),
            got=f"a vocabulary of {len(tokenizer)}, all of them special tokens",
            expected=_TOKENIZER,
            remedy="download the model again, from a source with its tokenizer",
        )
    return tokenizer


def _ensure_padding(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Pad with a token that the model knows, and say so where it is a stand-in.

    A tokenizer with neither padding nor end of text could pad nothing, and the id of a padding
    token that was added without enlarging the model has no embedding. What pads is masked.
    """
    config: Any = {}
    if (folder / "config.json").exists():
        config = read_json(folder / "config.json")
    size = config.get("vocab_size") if isinstance(config, dict) else None
    before = tokenizer.pad_token
    token = padding_token(tokenizer, size if isinstance(size, int) else None)
    if token != before and (before or token != tokenizer.eos_token):
        why = f"{before} is beyond the model's {size} tokens" if before else "neither pad nor eos"
        say(f"tokenizer: {why}; {token} pads, masked")
        tokenizer.pad_token = token


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        if "trust_remote_code" not in str(error):
            raise
        raise input_error(
            "the tokenizer needs the code that lies beside it, which is not run",
            where=str(folder),
            got="auto_map in tokenizer_config.json",
            expected="a tokenizer that transformers knows",
            remedy="read that code; if you trust it with this account, "
            "model.trust_remote_code: true",
        ) from None


def _incomplete(folder: Path, names: list[str], numbers: str) -> InputError:
    return input_error(
        f"the checkpoint lacks {len(names)} of the model's weights, which would be random",
        where=str(folder),
        got=f"{numbers}: {', '.join(names)}",
        expected="all weights of the class that config.json names",
        remedy="a complete checkpoint; compare its tensors' names with config.json's model_type",
    )


def _headed_class(folder: Path) -> type[transformers.PreTrainedModel]:
    names = _architectures(folder)
    found: Any = getattr(transformers, names[0], None) if names else None
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    if not is_model or "For" not in names[0]:
        raise input_error(
            "the checkpoint has no head, so it has no logits",
            where="score.output",
            got=f"logits of {', '.join(names) or 'no architecture'}",
            expected="a class such as BertForMaskedLM or LlamaForCausalLM in config.json",
            remedy="score.output: pooled or last_hidden",
        )
    return found


def _architectures(folder: Path) -> list[str]:
    with loading("the model's config cannot be loaded", folder, expected=_WHOLE):
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return [str(name) for name in config.architectures or []]
