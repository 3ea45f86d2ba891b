"""Where the scratch store's files lie: in a folder, or behind a URL that fsspec can open.

Either way a file is whole or absent: it is written under a temporary name and takes its own in one
step, so a write that is cut short is never seen.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from adarank.errors import input_error
from adarank.pipeline.files.places import scratch_folder, scratch_url
from adarank.pipeline.files.whole import whole_file

FILES, STEPS, NOW = "files", "steps", "now"
"""Folders of what travels to other machines and back; see `adarank.pipeline.clusters`."""

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oss", "oci", "memory"})
"""Where an upload appears when it is complete and a rename would copy it."""

_EXTRA = {"s3": "adarank[s3]", "s3a": "adarank[s3]"}


class Shelf(Protocol):
    """Files by name; a name is `KIND/REST` with one slash."""

    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file; FileNotFoundError where there is none, OSError if it cannot be read."""
        ...

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file that takes its name, whole, when the body has ended well."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file; OSError if the store does not answer."""
        ...

    def beginning(self, start: str) -> list[str]:
        """List the names that begin so, sorted."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there and may be removed."""
        ...

    def used(self, name: str) -> None:
        """Record that a file was used now: pruning goes by the time of the last use."""
        ...


class FolderShelf:
    """Files in a folder, which several machines may share.

    Args:
        folder: Made at the first write.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """See `Shelf`."""
        return (self.folder / name).open("rb")

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """See `Shelf`."""
        return whole_file(self.folder / name)

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        return (self.folder / name).exists()

    def beginning(self, start: str) -> list[str]:
        """See `Shelf`."""
        kind, _, rest = start.partition("/")
        return sorted(f"{kind}/{path.name}" for path in (self.folder / kind).glob(f"{rest}*"))

    def remove(self, name: str) -> None:
        """See `Shelf`."""
        with suppress(OSError):
            (self.folder / name).unlink(missing_ok=True)

    def used(self, name: str) -> None:
        """See `Shelf`."""
        # An entry in another user's store may be read but not touched.
        with suppress(OSError):
            os.utime(self.folder / name)


class RemoteShelf:
    """Files behind a URL, such as s3://bucket/prefix; each is copied here to be read or written.

    Args:
        url: That fsspec knows.

    Raises:
        InputError: fsspec does not know the URL, or a package for it is not installed.
    """

    def __init__(self, url: str):
        self._url = url.rstrip("/")
        self._system, self._top = _opened(self._url)
        protocol = self._system.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._whole_uploads = not names.isdisjoint(_OBJECT_STORES)

    def __str__(self) -> str:
        return self._url

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """See `Shelf`."""
        with tempfile.NamedTemporaryFile(prefix="adarank-") as local:
            with _as_os_error():
                self._system.get_file(self._path(name), local.name)
            with Path(local.name).open("rb") as stream:
                yield stream

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See `Shelf`."""
        with tempfile.NamedTemporaryFile(prefix="adarank-") as local:
            with Path(local.name).open("wb") as stream:
                yield stream
            with _as_os_error():
                self._upload(local.name, self._path(name))

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        try:
            with _as_os_error():
                self._system.info(self._path(name))
        except FileNotFoundError:
            return False
        return True

    def beginning(self, start: str) -> list[str]:
        """See `Shelf`."""
        kind, _, rest = start.partition("/")
        try:
            with _as_os_error():
                found: list[str] = self._system.ls(self._path(kind), detail=False)
        except FileNotFoundError:
            return []
        names = [str(path).rsplit("/", 1)[-1] for path in found]
        return sorted(f"{kind}/{name}" for name in names if name.startswith(rest))

    def remove(self, name: str) -> None:
        """See `Shelf`."""
        with suppress(OSError), _as_os_error():
            self._system.rm_file(self._path(name))

    def used(self, name: str) -> None:
        """See `Shelf`: object stores have no such time."""

    def _path(self, name: str) -> str:
        return f"{self._top}/{name}"

    def _upload(self, local: str, path: str) -> None:
        if self._whole_uploads:
            self._system.put_file(local, path)
            return
        folder, _, name = path.rpartition("/")
        working = f"{folder}/.{name}.{secrets.token_hex(4)}"
        self._system.makedirs(folder, exist_ok=True)
        try:
            self._system.put_file(local, working)
            self._system.mv(working, path)
        except BaseException:
            with suppress(Exception):
                self._system.rm_file(working)
            raise


def open_shelf() -> FolderShelf | RemoteShelf | None:
    """Open what ADARANK_SCRATCH names; None for `off`."""
    url, folder = scratch_url(), scratch_folder()
    if url is not None:
        return RemoteShelf(url)
    return None if folder is None else FolderShelf(folder)


def _opened(url: str) -> tuple[Any, str]:
    import fsspec.core  # Here: most runs have a folder, and this takes a tenth of a second.

    try:
        # What another machine has just written must be seen, so no listing is kept.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        protocol = url.partition("://")[0]
        extra = _EXTRA.get(protocol, f"the package that fsspec needs for {protocol}://")
        raise input_error(
            "the scratch store's address cannot be opened",
            where="ADARANK_SCRATCH",
            got=f"{url}: {error}",
            expected="a folder, or a URL that fsspec opens, such as s3://bucket/prefix",
            remedy=f"pip install '{extra}'" if protocol in _EXTRA else f"install {extra}",
        ) from None


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn whatever a remote file system's client raises into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
