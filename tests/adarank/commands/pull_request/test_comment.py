"""One comment a pull request, by an API that is this machine's; what it shows is nobody's word."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adarank.commands.pull_request.comment import AUTHOR, LIMIT, MARKER, cleaned, read_report

ROOT = Path(__file__).parents[4]
SHA = "a" * 40


@dataclass
class Forge:
    """What the API knows, and what was asked of it."""

    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    address: str = ""

    def answer(self, method: str, target: str, body: dict[str, str]) -> Any:
        url = urlsplit(target)
        query = parse_qs(url.query)
        self.asked.append(f"{method} {url.path}")
        path = url.path.removeprefix("/repos/owner/study/")
        if path == "pulls":
            return [pull for pull in self.pulls if pull["head"]["label"] == query["head"][0]]
        if method == "GET" and path == "issues/7/comments":
            first = 100 * (int(query["page"][0]) - 1)
            return self.comments[first : first + 100]
        if method == "POST" and path == "issues/7/comments":
            self.comments.append(said(AUTHOR, body["body"], len(self.comments)))
            return self.comments[-1]
        if method == "PATCH":
            (one,) = [c for c in self.comments if path == f"issues/comments/{c['id']}"]
            one["body"] = body["body"]
            return one
        raise KeyError(target)


def said(login: str, body: str, number: int) -> dict[str, Any]:
    return {"id": number, "user": {"login": login}, "body": body, "html_url": f"#{number}"}


def pull(number: int = 7, sha: str = SHA, repo: str | None = "fork/study") -> dict[str, Any]:
    head = {"label": "fork:topic", "sha": sha, "repo": repo and {"full_name": repo}}
    return {"number": number, "head": head}


@pytest.fixture
def forge() -> Iterator[Forge]:
    known = Forge()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or "{}")
            known.tokens.add(self.headers["Authorization"])
            text = json.dumps(known.answer(self.command, self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield known
    server.shutdown()
    server.server_close()


def comment(forge: Forge, report: Path, folder: Path, **changes: Any) -> str:
    """Run the command as the workflow does; what it wrote."""
    run = {
        "head_sha": SHA,
        "head_branch": "topic",
        "head_repository": {"full_name": "fork/study", "owner": {"login": "fork"}},
        "html_url": "https://example.com/run/1",
    }
    event = folder / "event.json"
    event.write_text(json.dumps({"workflow_run": run | changes}))
    done = subprocess.run(
        # -S: nothing but the library and this checkout, as on a bare runner.
        [sys.executable, "-S", "-m", "adarank.commands.pull_request.comment", str(report)],
        cwd=ROOT,
        env={
            "GITHUB_API_URL": forge.address,
            "GITHUB_REPOSITORY": "owner/study",
            "GITHUB_TOKEN": "secret",
            "GITHUB_EVENT_PATH": str(event),
            "no_proxy": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.md"
    path.write_text("## Study\n\n**PASS**: all is well\n")
    return path


def test_the_first_run_writes_and_the_next_updates(
    forge: Forge, report: Path, tmp_path: Path
) -> None:
    forge.pulls = [pull()]
    assert comment(forge, report, tmp_path) == "#0\n"
    report.write_text("**FAIL**: it fell")
    comment(forge, report, tmp_path)
    (one,) = forge.comments
    assert one["body"].startswith(MARKER) and "**FAIL**: it fell" in one["body"]
    assert "all is well" not in one["body"] and "https://example.com/run/1" in one["body"]
    assert forge.tokens == {"Bearer secret"}


def test_its_own_comment_is_found_on_a_later_page_and_no_other_is_touched(
    forge: Forge, report: Path, tmp_path: Path
) -> None:
    forge.pulls = [pull()]
    forge.comments = [said("mallory", f"{MARKER} mine", 0), said(AUTHOR, "a greeting", 1)]
    forge.comments += [said("b", "hello", number) for number in range(2, 120)]
    forge.comments.append(said(AUTHOR, f"{MARKER}\nold", 120))
    before = [dict(one) for one in forge.comments[:-1]]
    comment(forge, report, tmp_path)
    assert forge.comments[:-1] == before and len(forge.comments) == 121
    assert "all is well" in forge.comments[-1]["body"]


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(sha="b" * 40)],
        [pull(repo="mallory/study")],
        [pull(repo=None)],
        [pull(), pull(number=8)],
    ],
    ids=["none", "moved on", "another repository", "fork deleted", "two"],
)
def test_no_comment_where_the_event_names_no_single_pull_request(
    forge: Forge, report: Path, tmp_path: Path, pulls: list[dict[str, Any]]
) -> None:
    forge.pulls = pulls
    assert comment(forge, report, tmp_path).startswith("no comment")
    assert all(asked.startswith("GET") for asked in forge.asked)


def test_no_comment_where_the_fork_is_gone_or_left_no_report(
    forge: Forge, report: Path, tmp_path: Path
) -> None:
    forge.pulls = [pull()]
    assert comment(forge, report, tmp_path, head_repository=None).startswith("no comment")
    assert comment(forge, tmp_path / "none.md", tmp_path).startswith("no comment: that run left")
    assert forge.comments == []


def test_a_link_to_a_secret_is_not_followed(forge: Forge, report: Path, tmp_path: Path) -> None:
    forge.pulls = [pull()]
    secret = tmp_path / "secret"
    secret.write_text("token")
    report.unlink()
    report.symlink_to(secret)
    assert comment(forge, report, tmp_path).startswith("no comment")
    assert forge.comments == []


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_a_plain_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.md"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OSError):
        read_report(path)


def test_a_report_is_cut_so_that_a_comment_can_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_bytes(b"\xff@" * 10_000_000)
    text = read_report(path)
    assert len(text) < LIMIT + 100 and text.endswith("... cut: the run has the rest")


def test_nobody_is_called_nothing_is_hidden() -> None:
    text = cleaned(f"@org/team @me {MARKER}\n\u202ex\x00y")
    assert "@org" not in text and "@me" not in text and "<!--" not in text
    assert "\u202e" not in text and "\x00" not in text and "\nxy" in text
