"""Members from folders: PEFT adapters and whole models, read one tensor at a time."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from adarank.errors import AdaRankError, InputError, Problem
from adarank.factors.svd import Update
from adarank.merging.task_vectors import Member, Vector
from adarank.pipeline.adapters.reading import CONFIG, PREFIX, Adapter, in_base, read_adapter
from adarank.pipeline.files.hashes import known_sha256
from adarank.pipeline.merging.base import Base
from adarank.pipeline.merging.tensors import SINGLE, WeightFiles, bare_name

_FOREIGN = 0.5


class AdapterVectors(Mapping[str, Vector]):
    """An adapter's task vectors: factors of its linear layers, and what it trained whole."""

    def __init__(self, adapter: Adapter, base: Base) -> None:
        """Name the weights that the adapter changes."""
        self._adapter, self._base = adapter, base
        self._parts = {f"{base.module_of(part.name)}.weight": part for part in adapter.linear}
        names = {key: bare_name(in_base(key), base.prefix) for key in adapter.others}
        self._whole = {
            name: key
            for key, name in names.items()
            if name in base.keys and name not in base.embeddings
        }

    def __getitem__(self, name: str) -> Vector:
        if name in self._whole:
            key = self._whole[name]
            trained = self._adapter.tensors([key])[key]
            return trained - self._base.files[self._base.keys[name]].to(trained)
        update = self._adapter.update(self._parts[name])
        if name.removesuffix(".weight") in self._base.transposed:
            return Update(update.b.T, update.a.T, update.scale)
        return update

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self._parts, *self._whole]))

    def __len__(self) -> int:
        return len(self._parts) + len(self._whole)

    @cached_property
    def head(self) -> dict[str, Tensor]:
        """What was trained outside the base, by its name in the headed model."""
        keys = sorted(set(self._adapter.others) - set(self._whole.values()))
        bare = {key: bare_name(in_base(key), self._base.prefix) for key in keys}
        heads = [key for key in keys if bare[key] not in self._base.keys]
        return {key.removeprefix(PREFIX): t for key, t in self._adapter.tensors(heads).items()}


class ModelVectors(Mapping[str, Vector]):
    """A whole model's task vectors: its weights less the base's."""

    def __init__(self, files: WeightFiles, base: Base) -> None:
        """Name the weights that model and base share."""
        self._files, self._base = files, base
        names = {bare_name(key, base.prefix): key for key in files}
        self._keys = {n: k for n, k in names.items() if n in base.keys and n not in base.embeddings}

    def __getitem__(self, name: str) -> Tensor:
        tuned = self._files[self._keys[name]].float()
        return tuned - self._base.files[self._base.keys[name]].float()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    @cached_property
    def head(self) -> dict[str, Tensor]:
        """The tensors outside the base, by their name in the headed model."""
        outside = [k for k in self._files if bare_name(k, self._base.prefix) not in self._base.keys]
        return {key: self._files[key] for key in outside if self._files[key].is_floating_point()}


def read_members(base: Base, folders: Mapping[str, Path]) -> list[Member]:
    """Read the members of one base.

    Args:
        base: The base model.
        folders: By task: an adapter's folder or a whole model's.

    Raises:
        InputError: All members that cannot be read, are no plain LoRA, are quantised, or are of
            another base or tokenizer.
    """
    members: list[Member] = []
    problems: list[Problem] = []
    for task, folder in folders.items():
        try:
            problems += _tokenizer_problems(task, folder, base.folder)
            members.append(_read(base, task, folder))
        except AdaRankError as error:
            problems += error.problems
    problems += _base_problems(base, folders)
    if problems:
        raise InputError(*problems)
    return members


def _read(base: Base, task: str, folder: Path) -> Member:
    if (folder / CONFIG).is_file() or not (folder / "config.json").is_file():
        adapter = read_adapter(folder)
        vectors = AdapterVectors(adapter, base)
        _refuse_absent(task, [part.name for part in adapter.linear], base)
        excluded = tuple(part.name for part in adapter.parts if not part.linear)
        return Member(task, vectors, vectors.head, excluded)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("quantization_config"):
        raise InputError(
            Problem(
                "a quantised model has no exact task vector",
                f"{task}: {folder / 'config.json'}",
                "quantization_config",
                "weights in float32, float16 or bfloat16",
                "dequantise it, or name the adapter that was trained",
            )
        )
    whole = ModelVectors(WeightFiles(folder), base)
    _refuse_other_weights(task, whole, base)
    return Member(task, whole, whole.head, tuple(sorted(base.embeddings & base.keys.keys())))


def _refuse_absent(task: str, names: list[str], base: Base) -> None:
    absent = [name for name in names if f"{base.module_of(name)}.weight" not in base.keys]
    if absent:
        raise InputError(
            Problem(
                "the member adapts modules that the base does not have",
                f"{task}: {absent[0]}",
                f"{len(absent)} of {len(names)} modules",
                f"modules of {base.folder}",
                "name the base that it was trained from",
            )
        )


def _refuse_other_weights(task: str, whole: ModelVectors, base: Base) -> None:
    """Refuse a model that lacks the base's weights, has other shapes, or is far from the base."""
    missing = sorted(base.keys.keys() - base.embeddings - set(whole))
    if missing:
        what, got = "the member lacks weights of the base", f"{len(missing)} missing"
        raise InputError(Problem(what, f"{task}: {missing[0]}", got, "every weight of the base"))
    difference = size = 0.0
    for name in whole:
        shapes = [whole._files.shape(whole._keys[name]), base.files.shape(base.keys[name])]  # pyright: ignore[reportPrivateUsage]
        if shapes[0] != shapes[1]:
            what = "the member is of another base"
            raise InputError(Problem(what, f"{task}: {name}", f"{shapes[0]}", f"{shapes[1]}"))
        difference += float(whole[name].square().sum())
        size += float(base.files[base.keys[name]].float().square().sum())
    if difference > _FOREIGN**2 * size:
        raise InputError(
            Problem(
                "the member is no fine-tuning of this base",
                task,
                f"its weights differ by {(difference / size) ** 0.5:.0%} of the base's norm",
                f"at most {_FOREIGN:.0%}; fine-tuning moves a few per cent",
                "name the base that it was trained from",
            )
        )


def _base_problems(base: Base, folders: Mapping[str, Path]) -> list[Problem]:
    """Adapters that record another base: another folder's weights, or another name of the hub."""
    recorded: dict[str, str] = {}
    for task, folder in folders.items():
        if (folder / CONFIG).is_file():
            try:
                config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
                recorded[task] = str(config.get("base_model_name_or_path") or "")
            except (OSError, ValueError):
                continue  # reported where it is read
    problems: list[Problem] = []
    own = base.folder / SINGLE
    files = {name: Path(name) / SINGLE for name in {*recorded.values()} if name}
    # Each file once: members of one base all name the same.
    hashes = {name: known_sha256(path) for name, path in files.items() if path.is_file()}
    expected = known_sha256(own) if hashes and own.is_file() else None
    for task, name in recorded.items():
        if expected and hashes.get(name, expected) != expected:
            got = f"trained from {name}, whose weights differ"
            problems.append(Problem("the member is of another base", task, got, str(base.folder)))
    hub = {name for name in recorded.values() if name and not Path(name).is_absolute()}
    if len(hub) > 1:
        got = ", ".join(f"{task}: {name}" for task, name in recorded.items())
        problems.append(Problem("the members are of different bases", "members", got, "one base"))
    return problems


def _tokenizer_problems(task: str, folder: Path, base: Path) -> list[Problem]:
    files = [folder / "tokenizer.json", base / "tokenizer.json"]
    if not all(file.is_file() for file in files):
        return []
    vocabularies = [json.loads(f.read_text(encoding="utf-8"))["model"].get("vocab") for f in files]
    if vocabularies[0] == vocabularies[1]:
        return []
    return [
        Problem(
            "the member has another tokenizer than the base",
            f"{task}: {files[0]}",
            "another vocabulary",
            f"that of {files[1]}",
            "merge members of one tokenizer: the same id must mean the same token",
        )
    ]
