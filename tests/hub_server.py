"""A hub on loopback that speaks the API which huggingface_hub and datasets really call.

Revision info, tree, paths-info, and files by `resolve` with ETag, commit and LFS headers and
byte ranges. Large files live behind a redirect, as on the hub. `Fault` makes any answer go wrong.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]
_LARGE = re.compile(r".*\.(safetensors|bin|parquet)")
_POINTER = 130  # bytes of an LFS pointer


def blob_id(data: bytes) -> str:
    """The id that Git gives a file's bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def digest(data: bytes) -> str:
    """The sha256 that the hub tells of a large file."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class Fault:
    """What goes wrong with the answers to some requests.

    Attributes:
        path: Part of the paths concerned, a regular expression; `METHOD path` is searched.
        status: Answer this status, where it is not None.
        headers: Headers of that answer.
        cut_after: Close the connection after so many bytes of the body.
        body: Send these bytes for the file's own, under its own headers.
        times: How many requests it meets; None for all.
    """

    path: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    body: bytes | None = None
    times: int | None = 1


@dataclass
class Repository:
    """Commits, each a folder of files, and the names that point to them."""

    commits: dict[str, Files] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, *, branch: str = "main") -> str:
        """Add a commit, and let the branch point to it."""
        text = json.dumps([branch, len(self.commits), sorted(map(blob_id, files.values()))])
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = dict(files)
        self.names[branch] = sha
        return sha


@dataclass
class Hub:
    """The hub's repositories, and what was asked of it.

    Attributes:
        url: Its endpoint.
        store: Where large files lie.
        repositories: By `models/ORG/NAME` and `datasets/ORG/NAME`.
        faults: What goes wrong, the first that matches.
        asked: `METHOD path` of each request, in order.
        ranges: The Range header of each request for a file's bytes, None where absent.
        tokens: The Authorization headers that came.
        waits: Seconds that the client would have slept; see hub_client.
    """

    url: str = ""
    store: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)

    def repository(self, name: str) -> Repository:
        """The repository `models/ORG/NAME` or `datasets/ORG/NAME`, made where absent."""
        return self.repositories.setdefault(name, Repository())

    def fault_for(self, request: str) -> Fault | None:
        """The fault that meets a request, used up by one."""
        for fault in self.faults:
            if re.search(fault.path, request) and fault.times != 0:
                fault.times = None if fault.times is None else fault.times - 1
                return fault
        return None


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub on a free port of loopback."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with Server(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        # Another host by name, as on the hub: the client goes there without its token.
        hub.store = f"http://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class Server(ThreadingHTTPServer):
    """A server that does not wait for clients that keep their connections open."""

    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """Routes of the hub's API."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, or go wrong as a fault says."""
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.asked.append(request)
        self.hub.tokens |= {self.headers["Authorization"]} - {None}
        self.fault = self.hub.fault_for(request)
        if self.fault and self.fault.status is not None:
            self._send(self.fault.status, b"{}", self.fault.headers)
        elif path.startswith("/cdn/"):
            self._bytes(path)
        elif path.startswith("/api/"):
            self._api(path.removeprefix("/api/"))
        else:
            self._resolve(path.lstrip("/"))

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer a question asked in a body."""
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _api(self, path: str) -> None:
        found = re.fullmatch(
            r"((?:models|datasets)/[^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+|refs/.+?))?(/.*)?",
            path,
        )
        repository = self.hub.repositories.get(found[1]) if found else None
        if found is None or repository is None:
            return self._missing("RepoNotFound")
        files, sha = self._at(repository, found[3] or "main")
        if files is None:
            return self._missing("RevisionNotFound")
        if found[2] == "tree":
            return self._json(_tree(files, (found[4] or "").strip("/")))
        if found[2] == "paths-info":
            wanted = parse_qs(self._body().decode()).get("paths", [])
            return self._json([entry for entry in _tree(files, "") if entry["path"] in wanted])
        return self._json(
            {
                "id": found[1].partition("/")[2],
                "sha": sha,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [_sibling(path, data) for path, data in files.items()],
            }
        )

    def _resolve(self, path: str) -> None:
        found = re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        kind = "datasets" if found and found[1] else "models"
        repository = self.hub.repositories.get(f"{kind}/{found[2]}") if found else None
        if found is None or repository is None:
            return self._missing("RepoNotFound")
        files, sha = self._at(repository, found[3])
        if files is None:
            return self._missing("RevisionNotFound")
        commit = {"X-Repo-Commit": sha}
        if found[4] not in files:
            return self._missing("EntryNotFound", commit)
        data = files[found[4]]
        if not _LARGE.fullmatch(found[4]):
            return self._file(data, {**commit, "ETag": f'"{blob_id(data)}"'})
        linked = {"X-Linked-ETag": f'"{digest(data)}"', "X-Linked-Size": str(len(data))}
        location = f"{self.hub.store}/cdn/{digest(data)}?X-Amz-Signature=signed-by-the-hub"
        return self._send(302, b"", {**commit, **linked, "Location": location})

    def _bytes(self, path: str) -> None:
        name = path.removeprefix("/cdn/")
        everything = (
            data
            for repository in self.hub.repositories.values()
            for files in repository.commits.values()
            for data in files.values()
        )
        data = next(data for data in everything if digest(data) == name)
        self._file(data, {"ETag": f'"{name}"'})

    def _file(self, data: bytes, headers: dict[str, str]) -> None:
        if self.command == "GET":
            self.hub.ranges.append(self.headers["Range"])
        if self.fault and self.fault.body is not None:
            data = self.fault.body
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if not found:
            return self._send(200, data, headers)
        first, last = int(found[1]), int(found[2] or len(data) - 1)
        part = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self._send(206, data[first : last + 1], headers | part)

    def _at(self, repository: Repository, revision: str) -> tuple[Files | None, str]:
        sha = repository.names.get(revision, revision)
        return repository.commits.get(sha), sha

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(404, b"{}", {"X-Error-Code": code, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.fault.cut_after if self.fault else None
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


def _tree(files: Files, below: str) -> list[dict[str, Any]]:
    folders = {
        "/".join(path.split("/")[:depth])
        for path in files
        for depth in range(1, path.count("/") + 1)
    }
    entries = [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in folders]
    for path, data in files.items():
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data)}
        entry["oid"] = blob_id(data)
        if _LARGE.fullmatch(path):
            entry["lfs"] = {"oid": digest(data), "size": len(data), "pointerSize": _POINTER}
        entries.append(entry)
    return [e for e in entries if not below or str(e["path"]).startswith(f"{below}/")]


def _sibling(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob_id(data)}
    if _LARGE.fullmatch(path):
        entry["lfs"] = {"sha256": digest(data), "size": len(data), "pointerSize": _POINTER}
    return entry
