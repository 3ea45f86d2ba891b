"""Which files of a model folder are kept, by name, the same from any source."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from adarank.errors import InputError, input_error

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"

_CONFIG = {"config.json", "generation_config.json"}
_INPUT = {  # any one of these lets text, or an image, become input
    "preprocessor_config.json",
    "bpe.codes",
    "merges.txt",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "source.spm",
    "spiece.model",
    "spm.model",
    "target.spm",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
}
_BESIDE = {
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
}
_SHARD = re.compile(r"model(\.safetensors)?-\d+-of-\d+\.safetensors")
_CODE = re.compile(r"[A-Za-z_]\w*\.py")
_PICKLED_SHARD = re.compile(r"pytorch_model-\d+-of-\d+\.bin")


@dataclass(frozen=True)
class Choice:
    """The names to fetch.

    Attributes:
        names: Sorted names: config, tokenizer and weights.
        pickled: Whether the weights are pickled and still to be converted.
    """

    names: tuple[str, ...]
    pickled: bool


def choose(
    offered: Collection[str],
    *,
    convert_pickle: bool,
    source: str,
    trust_remote_code: bool = False,
) -> Choice:
    """Choose the files to fetch; names of subfolders' files are never chosen.

    A single model.safetensors goes before shards, safetensors before pickles. Code is chosen
    only where it is trusted.

    Raises:
        InputError: No config, no tokenizer, no weights, or pickled ones without leave.
    """
    names = set(offered)
    if "config.json" not in names:
        raise _lacking(source, names, "config.json", "point the source at the folder with it")
    if not names & _INPUT:
        raise _lacking(source, names, "a tokenizer", "a folder with tokenizer.json or vocab.txt")
    plain = names & (_CONFIG | _INPUT | _BESIDE)
    if trust_remote_code:
        plain |= {name for name in names if _CODE.fullmatch(name)}
    weights = _safetensors(names)
    if weights:
        return Choice(tuple(sorted(plain | weights)), pickled=False)
    weights = _pickles(names)
    if not weights:
        raise _lacking(source, names, "weights as safetensors", f"another revision with {SINGLE}")
    if not convert_pickle:
        raise _only_pickled(source, weights)
    return Choice(tuple(sorted(plain | weights)), pickled=True)


def _safetensors(names: set[str]) -> set[str]:
    if SINGLE in names:
        return {SINGLE}
    shards = {name for name in names if _SHARD.fullmatch(name)}
    return shards | {INDEX} if shards and INDEX in names else set()


def _pickles(names: set[str]) -> set[str]:
    if PICKLED in names:
        return {PICKLED}
    shards = {name for name in names if _PICKLED_SHARD.fullmatch(name)}
    return shards | {PICKLED_INDEX} if shards and PICKLED_INDEX in names else set()


def _lacking(source: str, names: set[str], what: str, remedy: str) -> InputError:
    there = ", ".join(sorted(name for name in names if "/" not in name)) or "no files at all"
    return input_error(
        f"the source has no model that can be used: {what} missing",
        where="model.source",
        got=f"{source}: {there}",
        expected="config.json, a tokenizer and *.safetensors",
        remedy=remedy,
    )


def _only_pickled(source: str, weights: set[str]) -> InputError:
    return input_error(
        "the weights are pickled only, and a pickle can hold code",
        where="model.source",
        got=f"{source}: {', '.join(sorted(weights))}",
        expected="*.safetensors",
        remedy="model.convert_pickle: true reads them with torch's weights-only loader "
        "and keeps safetensors",
    )
