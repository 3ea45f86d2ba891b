"""A LoRA adapter's folder, read: which modules, and each one's factors when they are asked for.

The tensors stay in the file until then: an adapter of any size is read module by module.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from adarank.errors import InputError, Problem, input_error
from adarank.factors.svd import Update, non_finite
from adarank.models.tensors import COPIES
from adarank.pipeline.adapters.config import LoraFields, read_fields
from adarank.pipeline.adapters.refusals import no_adapter, refuse_variants
from adarank.pipeline.files.tensors import open_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."

_EXPECTED, _REMEDY = "what PEFT's save_pretrained writes", "copy the adapter again"

_PAIRS = {".lora_A.weight": ".lora_B.weight", ".lora_embedding_A": ".lora_embedding_B"}


@dataclass(frozen=True)
class Part:
    """One adapted module, as it lies in the file.

    Attributes:
        name: Full dotted name in the model.
        a: Key of A, whose first dimension is the rank.
        b: Key of B, whose second dimension is the rank.
        rank: As the shapes have it.
        scale: The factor before B A, from alpha and rank.
        parameters: Entries of both.
        linear: Whether it is a linear layer; else an embedding or a convolution.
    """

    name: str
    a: str
    b: str
    rank: int
    scale: float
    parameters: int
    linear: bool

    @property
    def parameters_per_rank(self) -> int:
        """What one more rank costs: d_in + d_out."""
        return self.parameters // self.rank


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter's folder.

    Attributes:
        folder: Where it lies.
        config: adapter_config.json, whole.
        parts: The adapted modules, by name.
        others: Keys of everything else in the file: heads and other modules saved whole.
    """

    folder: Path
    config: dict[str, Any]
    parts: tuple[Part, ...]
    others: tuple[str, ...]

    @property
    def linear(self) -> tuple[Part, ...]:
        """The adapted linear layers."""
        return tuple(part for part in self.parts if part.linear)

    def tensors(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """Read tensors from the file."""
        with _opened(self.folder / WEIGHTS) as file:
            return {key: file.get_tensor(key) for key in keys}

    def update(self, part: Part) -> Update:
        """Read a linear layer's factors."""
        found = self.tensors([part.a, part.b])
        return Update(found[part.a], found[part.b], part.scale)

    def updates(self) -> Iterator[tuple[Part, Update]]:
        """Read the linear layers' factors, one layer at a time."""
        for part in self.linear:
            yield part, self.update(part)


def read_adapter(folder: Path) -> Adapter:
    """Read which modules an adapter has; its tensors stay in the file.

    Raises:
        InputError: No adapter there, a damaged one, one that is no plain LoRA, or factors that are
            not those of the configuration; every such module at once.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    if not path.is_file() or not weights.is_file():
        raise no_adapter(folder, path, weights)
    config = _read_config(path)
    refuse_variants(config, path)
    fields = read_fields(config, path)
    with _opened(weights) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    parts, others, problems = _sorted_out(shapes, fields)
    if not parts and not problems:
        problems.append(
            Problem("no LoRA factors in this file", str(weights), f"{len(shapes)} tensors")
        )
    if problems:
        raise InputError(*problems)
    return Adapter(folder, config, tuple(parts), tuple(others))


def in_base(key: str) -> str:
    """Name a tensor of an adapter's file as the base model does.

    PEFT saves trained biases of adapted layers (`bias: all`) below its wrapper of the layer.

    Example:
        >>> in_base("base_model.model.bert.layer.0.query.base_layer.bias")
        'bert.layer.0.query.bias'
    """
    return key.removeprefix(PREFIX).replace(".base_layer.", ".")


def refuse_non_finite(adapter: Adapter) -> None:
    """Raise InputError if any factor is not finite; names every such module."""
    problems = [
        Problem(
            "the factors are not finite",
            part.name,
            non_finite(update),
            "finite numbers",
            "its training diverged; use an earlier checkpoint",
        )
        for part, update in adapter.updates()
        if not (update.a.isfinite().all() and update.b.isfinite().all())
    ]
    if problems:
        raise InputError(*problems)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    if not isinstance(config, dict):
        raise _damaged(path, ValueError(f"{type(config).__name__}, not an object"))
    return config


def _opened(path: Path) -> AbstractContextManager[Any]:
    return open_tensors(path, expected=_EXPECTED, remedy=_REMEDY)


def _damaged(path: Path, error: Exception) -> InputError:
    return input_error(
        "the file is damaged",
        where=str(path),
        got=" ".join(str(error).split()),
        expected=_EXPECTED,
        remedy=_REMEDY,
    )


def _sorted_out(
    shapes: dict[str, tuple[int, ...]], fields: LoraFields
) -> tuple[list[Part], list[str], list[Problem]]:
    """Separate factors from other tensors, and check them against the configuration."""
    parts: list[Part] = []
    problems: list[Problem] = []
    others = set(shapes)
    for key in sorted(shapes):
        ending = next((ending for ending in _PAIRS if key.endswith(ending)), None)
        if ending is None:
            continue
        other = key.removesuffix(ending) + _PAIRS[ending]
        name = key.removesuffix(ending).removeprefix(PREFIX)
        others -= {key, other}
        if problem := _contradiction(name, shapes[key], shapes.get(other), fields):
            problems.append(problem)
            continue
        entries = sum(_entries(shapes[one]) for one in (key, other))
        linear = ending == ".lora_A.weight" and len(shapes[key]) == 2
        rank, scale = shapes[key][0], fields.scale(name)
        parts.append(Part(name, key, other, rank, scale, entries, linear))
    others = {key for key in others if not any(part in key for part in COPIES)}
    strange = [key for key in sorted(others) if ".lora_" in key]
    problems += [Problem("no factor of a plain LoRA", key, str(shapes[key])) for key in strange]
    return sorted(parts, key=lambda part: part.name), sorted(others), problems


def _contradiction(
    name: str, a: tuple[int, ...], b: tuple[int, ...] | None, fields: LoraFields
) -> Problem | None:
    if b is None:
        return Problem("A without its B", name, f"A {a}", "both factors of every module")
    if len(a) < 2 or len(b) < 2 or a[0] != b[1]:
        return Problem("A and B do not multiply", name, f"A {a}, B {b}", "(r, d_in) and (d_out, r)")
    if a[0] != fields.rank(name):
        return Problem(
            "the file's rank is not the configuration's",
            name,
            f"rank {a[0]} in {WEIGHTS}",
            f"rank {fields.rank(name)} by {CONFIG}",
            "put the two files of one adapter together",
        )
    return None


def _entries(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
