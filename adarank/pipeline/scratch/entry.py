"""One entry of the scratch store as a file: tensors or whole files, a note, and a checksum.

A line of JSON that says what it is, then a safetensors file, in which a file is a tensor of bytes.
There is no pickle, so an entry that somebody else wrote can at worst be wrong, never run. Files go
through memory a megabyte at a time, and tensors straight to and from their own storage, so that a
whole model can be stored beside the one in use.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import torch
from torch import Tensor

_LONGEST_HEADER = 10_000
_CHUNK = 2**20
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


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

    def line(self) -> bytes:
        """The first line of the entry's file."""
        return json.dumps(vars(self)).encode() + b"\n"


def of_files(files: Mapping[str, bytes], note: Any = None) -> Entry:
    """Make an entry of a few small files by name; see `write_folder` for large ones."""
    tensors = {
        name: torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if data
        else torch.empty(0, dtype=torch.uint8)
        for name, data in files.items()
    }
    return Entry(tensors, note)


def write_entry(stream: BinaryIO, kind: str, what: str, entry: Entry) -> None:
    """Write an entry to an empty file."""
    tensors = {name: tensor.detach() for name, tensor in entry.tensors.items()}
    about = {name: (_NAMES[t.dtype], list(t.shape), t.nbytes) for name, t in tensors.items()}
    _write(stream, kind, what, entry.note, about, map(_bytes_of, tensors.values()))


def write_folder(stream: BinaryIO, kind: str, what: str, folder: Path, note: Any) -> None:
    """Write an entry of all files below a folder to an empty file.

    Raises:
        OSError: A file cannot be read, or changes meanwhile.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path: path.stat().st_size for path in files}
    about = {
        path.relative_to(folder).as_posix(): ("U8", [size], size) for path, size in sizes.items()
    }
    _write(stream, kind, what, note, about, chain.from_iterable(map(_chunks_of, files)))


def read_entry(stream: BinaryIO) -> Entry:
    """Read an entry back.

    Raises:
        DamagedError: The checksum is not that of the content.
    """
    about, note = _verified(stream)
    return Entry({name: _tensor(stream, *one) for name, one in about.items()}, note)


def read_folder(stream: BinaryIO, into: Path) -> Entry:
    """Write the files of an entry, as `write_folder` took them, to a folder.

    Returns:
        The entry's note alone.

    Raises:
        DamagedError: The checksum is not that of the content, or a name leads out of the folder.
    """
    about, note = _verified(stream)
    for name, (_, _, size) in about.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            raise DamagedError(f"the name {name!r} leads out of its folder")
        path = into / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            for at in range(0, size, _CHUNK):
                target.write(stream.read(min(_CHUNK, size - at)))
    return Entry(note=note)


def read_header(path: Path) -> Header:
    """Read what a file says of itself, unchecked.

    Raises:
        DamagedError: It has no such line.
    """
    with path.open("rb") as stream:
        return _header(stream)


_About = tuple[str, list[int], int]
"""Of a tensor: the name of its type, its shape, and its size in bytes."""


def _write(
    stream: BinaryIO,
    kind: str,
    what: str,
    note: Any,
    about: Mapping[str, _About],
    chunks: Iterator[memoryview],
) -> None:
    table: dict[str, Any] = {"__metadata__": {"note": json.dumps(note)}}
    end = 0
    for name, (dtype, shape, size) in about.items():
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(table).encode()
    head = len(text).to_bytes(8, "little") + text
    # The checksum is known in the end only, and then takes the place of this one.
    stream.write(Header(kind, what, "0" * 64).line())
    digest = _digest(kind, what)
    for chunk in chain([memoryview(head)], chunks):
        digest.update(chunk)
        stream.write(chunk)
        end -= len(chunk)
    if end != -len(head):
        raise OSError("a file changed while it was read")
    stream.seek(0)
    stream.write(Header(kind, what, digest.hexdigest()).line())


def _verified(stream: BinaryIO) -> tuple[dict[str, _About], Any]:
    """Check the whole of an entry, and stop at the first byte of its first tensor."""
    header = _header(stream)
    start, digest = stream.tell(), _digest(header.kind, header.what)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != header.sha256:
        raise DamagedError("its checksum is not that of its content")
    stream.seek(start)
    try:
        table = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        note = json.loads(table.pop("__metadata__")["note"])
        about = {name: (t["dtype"], t["shape"], _size(t)) for name, t in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedError(str(error)) from None
    return about, note


def _size(table: dict[str, Any]) -> int:
    first, end = table["data_offsets"]
    return end - first


def _tensor(stream: BinaryIO, dtype: str, shape: list[int], size: int) -> Tensor:
    storage = torch.empty(size, dtype=torch.uint8)
    values: Any = storage.numpy()
    stream.readinto(values)  # pyright: ignore[reportAttributeAccessIssue]
    return storage.view(_DTYPES[dtype]).reshape(shape)


def _bytes_of(tensor: Tensor) -> memoryview:
    values: Any = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(values)


def _chunks_of(path: Path) -> Iterator[memoryview]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield memoryview(chunk)


def _header(stream: BinaryIO) -> Header:
    try:
        return Header(**json.loads(stream.readline(_LONGEST_HEADER).rstrip(b"\n")))
    except (ValueError, TypeError):
        raise DamagedError("its first line is not an entry's") from None


def _digest(kind: str, what: str) -> Any:
    return hashlib.sha256(json.dumps([kind, what]).encode())
