"""One entry of the scratch store as bytes: tensors and a note, with a checksum over both.

A line of JSON that says what it is, then a safetensors file. No pickle, so an entry that somebody
else wrote can at worst be wrong, never run.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_LONGEST_HEADER = 10_000


class DamagedError(Exception):
    """Bytes that are not, or no longer, an entry as it was written."""


@dataclass(frozen=True)
class Entry:
    """What is kept under one key.

    Attributes:
        tensors: Tensors by name, given back bit for bit, on the CPU.
        note: Whatever JSON can hold, NaN and infinities included.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    note: Any = None

    @property
    def files(self) -> dict[str, bytes]:
        """The tensors as the files they are, where the entry was made by `of_files`."""
        return {name: tensor.numpy().tobytes() for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Header:
    """What an entry says of itself.

    Attributes:
        kind: Such as `scores`, `seed`, `checkpoint`.
        what: In words, whose.
        sha256: Of kind, what and all that follows.
    """

    kind: str
    what: str
    sha256: str


def of_files(files: Mapping[str, bytes], note: Any = None) -> Entry:
    """Make an entry of whole files by name."""
    tensors = {
        name: torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0)
        for name, data in files.items()
    }
    return Entry(tensors, note)


def pack(kind: str, what: str, entry: Entry) -> list[bytes]:
    """Turn an entry into the parts of its file."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in entry.tensors.items()}
    body = save(tensors, metadata={"note": json.dumps(entry.note)})
    header = {"kind": kind, "what": what, "sha256": _digest(kind, what, body)}
    return [json.dumps(header).encode() + b"\n", body]


def unpack(data: bytes) -> Entry:
    """Turn a file's bytes back into the entry.

    Raises:
        DamagedError: The checksum is not that of the content.
    """
    line, _, body = data.partition(b"\n")
    header = _parsed(line)
    if _digest(header.kind, header.what, body) != header.sha256:
        raise DamagedError("its checksum is not that of its content")
    try:
        size = int.from_bytes(body[:8], "little")
        note = json.loads(json.loads(body[8 : 8 + size])["__metadata__"]["note"])
        return Entry(load(body), note)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DamagedError(str(error)) from None


def read_header(path: Path) -> Header:
    """Read what a file says of itself, unchecked.

    Raises:
        DamagedError: It has no such line.
    """
    with path.open("rb") as stream:
        return _parsed(stream.readline(_LONGEST_HEADER).rstrip(b"\n"))


def _parsed(line: bytes) -> Header:
    try:
        return Header(**json.loads(line))
    except (ValueError, TypeError):
        raise DamagedError("its first line is not an entry's") from None


def _digest(kind: str, what: str, body: bytes) -> str:
    digest = hashlib.sha256(json.dumps([kind, what]).encode())
    digest.update(body)
    return digest.hexdigest()
