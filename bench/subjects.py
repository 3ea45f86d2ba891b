"""What is scored: the default model, and random ones of its shapes at other depths."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from adarank.models.modules import Module, find_modules
from adarank.pipeline.artifacts.model import load_model, load_tokenizer
from adarank.pipeline.params.probe import ProbeSection, read_texts
from adarank.scoring.outputs import Batch
from adarank.scoring.probe import make_probe

SENTENCES = Path(__file__).parents[1] / "adarank/pipeline/builtin/sentences.txt"


@dataclass(frozen=True)
class Subject:
    """A model, the probe it is scored on, and the modules scored.

    Attributes:
        name: For tables.
        model: In evaluation mode, on the device that is measured.
        batches: The probe, sorted by length; the same for every method.
        whole: The same texts as one batch padded to the longest.
        modules: Every linear layer of the blocks.
    """

    name: str
    model: nn.Module
    batches: Sequence[Batch]
    whole: Batch
    modules: Sequence[Module]

    @property
    def n_blocks(self) -> int:
        """How many blocks the modules lie in."""
        return len({module.block for module in self.modules})


def pretrained(folder: Path, rows: int, batch_size: int, device: torch.device) -> Subject:
    """Load a model folder with the first `rows` of the built-in sentences as its probe.

    Raises:
        InputError: No model there.
    """
    model = load_model(folder).to(device).eval()
    texts = read_texts(ProbeSection(source=str(SENTENCES), rows=rows, max_length=128, seed=0))
    read = partial(make_probe, texts, load_tokenizer(folder), model=model, device=device)
    batches, (whole,) = read(batch_size=batch_size).batches, read(batch_size=rows).batches
    return Subject(type(model).__name__, model, batches, whole, find_modules(model))


def random_like(subject: Subject, n_blocks: int) -> Subject:
    """Make a model of the same shapes with another depth and random weights, on the same probe."""
    given: Any = subject.model.config
    config = deepcopy(given)
    config.num_hidden_layers = n_blocks
    torch.manual_seed(0)
    device = next(subject.model.parameters()).device
    model: nn.Module = AutoModel.from_config(config).to(device).eval()
    name = f"random, {n_blocks} blocks"
    return Subject(name, model, subject.batches, subject.whole, find_modules(model))


def of_blocks(subject: Subject, blocks: Sequence[int]) -> list[Module]:
    """List the modules of some blocks, given by depth."""
    return [module for module in subject.modules if module.block in blocks]
