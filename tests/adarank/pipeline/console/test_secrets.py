"""Tokens and passwords: in no file, no log and no message, whether a download goes well or not."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adarank.pipeline.console.secrets import hidden
from stages import download, download_task
from tests.hub_client import model_files, parquet_files, point_at
from tests.hub_server import Fault, Hub, running_hub
from tests.rows import SECTION

SECRETS = {
    "HF_TOKEN": "hf_FakeTokenOfNobody1234567890",
    "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
    "AWS_SECRET_ACCESS_KEY": "fake/secret+access/key/of/nobody",
    "AWS_SESSION_TOKEN": "FakeSessionTokenOfNobody",
    "PIP_INDEX_URL": "http://reader:FakeIndexPassword@127.0.0.1:9/simple",
    "GITHUB_TOKEN": "ghp_FakeTokenOfNobody",
}
WORDS = [*SECRETS.values(), "FakeIndexPassword", "signed-by-the-hub"]
SOURCES = {"model": "hf:org/pico@main", "dataset": "hf:org/rows/short@main"}


@pytest.fixture
def hub(pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, an environment full of secrets, and an empty project."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with running_hub() as hub:
        hub.repository("models/org/pico").commit(model_files(pico_model))
        hub.repository("datasets/org/rows").commit(parquet_files())
        point_at(hub, tmp_path / "cache", monkeypatch)
        yield hub


def fetch(part: str, **changed: object) -> tuple[int, str]:
    """Run `download`; the code it exits with, and what it said."""
    model = {"convert_pickle": False, "trust_remote_code": False, "sha256": {}}
    section = {"model": model, "dataset": SECTION}[part] | {"source": SOURCES[part]} | changed
    params = {"model": section} if part == "model" else {"tasks": {"questions": section}}
    Path("params.yaml").write_text(json.dumps(params))
    task = ["--task", "questions"]
    command = (download.app, []) if part == "model" else (download_task.app, task)
    result = CliRunner().invoke(*command)
    return result.exit_code, result.output


def leaks(*texts: str) -> list[str]:
    """The secrets in some texts and in any file below the current folder and the hub's cache."""
    files = [path for path in Path("..").rglob("*") if path.is_file()]
    held = [*(text.encode() for text in texts), *(path.read_bytes() for path in files)]
    return [word for word in WORDS if any(word.encode() in data for data in held)]


FAULTS = {
    "none": [],
    "gated": [
        Fault("HEAD .*resolve", status=403, headers={"X-Error-Code": "GatedRepo"}, times=None)
    ],
    "login": [Fault("/api/", status=401, times=None)],
    "busy": [Fault("/api/", status=503, times=None)],
    "cut": [Fault("GET /cdn/", cut_after=10, times=None)],
    "wrong": [Fault("GET /cdn/", body=b"x" * 10, times=None)],
    "echo": [
        Fault("/api/", status=400, headers={"X-Error-Message": SECRETS["HF_TOKEN"]}, times=None)
    ],
}


@pytest.mark.parametrize("part", SOURCES)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_secret_is_written_or_told(hub, part, fault, capfd):
    handlers = [logging.getLogger("huggingface_hub"), logging.getLogger("datasets")]
    assert all(logger.handlers for logger in handlers)
    hub.faults = [Fault(**vars(one)) for one in FAULTS[fault]]
    code, said = fetch(part)
    assert (code == 0) == (fault == "none"), said
    told = capfd.readouterr()
    assert leaks(said, told.out, told.err) == []
    assert any(SECRETS["HF_TOKEN"] in token for token in hub.tokens), (
        "the hub was not asked with it"
    )


@pytest.mark.usefixtures("hub")
def test_an_index_s_password_is_not_told(capfd, monkeypatch):
    monkeypatch.setenv("PIP_RETRIES", "0")
    code, said = fetch("model", source="pypi:pico-model==1.0/x")
    assert code != 0
    told = capfd.readouterr()
    assert leaks(said, told.out, told.err) == []


def test_what_is_blotted_out(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdef")
    monkeypatch.setenv("SHORT_TOKEN", "no")
    assert hidden("abcdef and no") == "*** and no"
    assert hidden("at https://me:pw@host/x?a=b") == "at https://***@host/x?a=b"
    assert hidden("?X-Amz-Signature=1f&b=c") == "?X-Amz-Signature=***&b=c"
    assert hidden("org/name@main, x@y") == "org/name@main, x@y"
