"""A model folder's weights, read one at a time under the names of the base model's class."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from adarank.errors import input_error
from adarank.pipeline.files.tensors import open_tensors

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
            return _shards(self.folder / INDEX)
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


def _opened(path: Path) -> AbstractContextManager[Any]:
    return open_tensors(path, expected="safetensors", remedy="copy it again")


def _shards(path: Path) -> dict[str, str]:
    try:
        files: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        return dict(sorted(files.items()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise input_error(
            "the index of shards is damaged",
            where=str(path),
            got=" ".join(str(error).split()),
            expected="JSON with weight_map: a file by key",
            remedy="copy it again",
        ) from None
