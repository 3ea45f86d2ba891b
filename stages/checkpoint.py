"""Loading the downloaded model, quietly, from data/model alone."""

from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from adarank.errors import input_error

MODEL = Path("data/model")


def pick_device(name: str) -> torch.device:
    """Turn `auto` into the best device there is; InputError for one that is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise input_error(
            "no such device here", where="device", got=name, expected="cpu or auto on this machine"
        )
    return torch.device(name)


def load_model(folder: Path, *, with_head: bool = False) -> nn.Module:
    """Load a checkpoint in float32: the bare model, or the class that its config names.

    Raises:
        InputError: No checkpoint there, or a head wanted and the checkpoint names none.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not (folder / "config.json").exists():
        raise input_error(
            "no model here", where=str(folder), remedy="`dvc repro download@model` fetches it"
        )
    if not with_head:
        return AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return _headed_class(folder).from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the checkpoint's tokenizer."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _headed_class(folder: Path) -> type[transformers.PreTrainedModel]:
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    names = config.architectures or []
    found = getattr(transformers, names[0], None) if names else None
    if found is None or not found.__name__.rpartition("For")[1]:
        raise input_error(
            "the checkpoint has no head, so it has no logits",
            where="score.output",
            got=f"logits of {', '.join(names) or 'no architecture'}",
            expected="a class such as BertForMaskedLM or LlamaForCausalLM in config.json",
            remedy="score.output: pooled or last_hidden",
        )
    return found
