"""The base of a merge: its weights in files, and what its class says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.pytorch_utils import Conv1D

from adarank.models.loading import loading
from adarank.pipeline.artifacts.model import check_model
from adarank.pipeline.merging.tensors import WeightFiles, bare_name


@dataclass(frozen=True)
class Base:
    """A pretrained model's folder.

    Attributes:
        folder: Where it is.
        files: Its tensors.
        prefix: The base's name inside a headed model: bert.
        keys: By weight name in the base's class: its key in the files.
        transposed: Modules that store their weight as (d_in, d_out): GPT-2's Conv1D.
        embeddings: Names of embeddings' weights, which are not merged.
    """

    folder: Path
    files: WeightFiles
    prefix: str
    keys: Mapping[str, str]
    transposed: frozenset[str]
    embeddings: frozenset[str]

    def module_of(self, name: str) -> str:
        """The module that an adapter names, in the base's class."""
        return bare_name(name, self.prefix)


def read_base(folder: Path) -> Base:
    """Read a model folder's structure; its weights stay in the files.

    Raises:
        InputError: No model there, or one that transformers cannot read.
    """
    check_model(folder)
    with loading("the model cannot be loaded", folder, expected="a folder with config.json"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModel.from_config(config, trust_remote_code=False)
    files = WeightFiles(folder)
    prefix = str(model.base_model_prefix)
    names = set(dict(model.named_parameters()))
    keys = {bare_name(key, prefix): key for key in files if bare_name(key, prefix) in names}
    modules = dict(model.named_modules())
    return Base(
        folder,
        files,
        prefix,
        keys,
        frozenset(name for name, module in modules.items() if isinstance(module, Conv1D)),
        frozenset(
            f"{name}.weight" for name, module in modules.items() if isinstance(module, nn.Embedding)
        ),
    )
