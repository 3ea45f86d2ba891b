"""A model folder's weights, read one at a time under the names of the base model's class."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from adarank.errors import input_error

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class WeightFiles(Mapping[str, Tensor]):
    """The tensors of a model folder, whole or in shards; each is read when it is asked for.

    Attributes:
        files: By key as it is in the files: the file that holds it.
    """

    def __init__(self, folder: Path) -> None:
        """Read the keys; InputError if there are no safetensors or they are damaged."""
        self.folder = folder
        self.files = self._keys()

    def __getitem__(self, key: str) -> Tensor:
        with _opened(self.folder / self.files[key]) as file:
            return file.get_tensor(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def shape(self, key: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        with _opened(self.folder / self.files[key]) as file:
            return tuple(file.get_slice(key).get_shape())

    def _keys(self) -> dict[str, str]:
        if (self.folder / INDEX).is_file():
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            return dict(sorted(index["weight_map"].items()))
        if not (self.folder / SINGLE).is_file():
            raise input_error(
                "no weights here",
                where=str(self.folder),
                got="no model.safetensors and no index of shards",
                expected="a model folder as save_pretrained writes it",
                remedy="save the model again; pickled weights are not read",
            )
        with _opened(self.folder / SINGLE) as file:
            return dict.fromkeys(sorted(file.keys()), SINGLE)


def bare_name(key: str, prefix: str) -> str:
    """A weight's name in the base model's class: without the name of the base in a headed model."""
    return key.removeprefix(f"{prefix}.") if prefix else key


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise input_error(
            "the file is damaged",
            where=str(path),
            got=" ".join(str(error).split()),
            expected="safetensors",
            remedy="copy it again",
        ) from None
