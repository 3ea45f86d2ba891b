"""A package index on loopback: PEP 503 pages and wheels, with faults as the hub's server has."""

import hashlib
import html
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.hub_server import Fault, Server


@dataclass
class Index:
    """The index of one package, and what was asked of it.

    Attributes:
        place: `HOST:PORT`.
        package: Its name.
        wheels: Bytes by file name.
        hashes: sha256 that the page tells by file name; of the bytes themselves where absent.
        faults: What goes wrong, the first that matches.
        login: `NAME:PASSWORD` that it wants, if any.
        asked: `METHOD path` of each request.
    """

    place: str = ""
    package: str = "pico-model"
    wheels: dict[str, bytes] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    login: str | None = None
    asked: list[str] = field(default_factory=list)

    def url(self, login: str = "") -> str:
        """What PIP_INDEX_URL is to be."""
        return f"http://{login + '@' if login else ''}{self.place}/simple"

    def page(self) -> bytes:
        """The package's page: a link to every wheel, with its hash."""
        links = [
            f'<a href="/files/{html.escape(name)}#sha256='
            f'{self.hashes.get(name, hashlib.sha256(data).hexdigest())}">{html.escape(name)}</a>'
            for name, data in self.wheels.items()
        ]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


@contextmanager
def running_index() -> Iterator[Index]:
    """Run an index on a free port of loopback."""
    index = Index()
    handler = type("Handler", (_Handler,), {"index": index})
    with Server(("127.0.0.1", 0), handler) as server:
        index.place = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """The page of the package, and its files."""

    index: Index

    def do_GET(self) -> None:
        """Answer, or go wrong as a fault says."""
        request = f"{self.command} {self.path}"
        self.index.asked.append(request)
        faults = [f for f in self.index.faults if f.path in request and f.times != 0]
        fault = faults[0] if faults else None
        if fault and fault.times:
            fault.times -= 1
        name = self.path.removeprefix("/files/")
        if not self._may_read():
            self._send(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
        elif fault and fault.status:
            self._send(fault.status, b"", fault.headers)
        elif self.path == f"/simple/{self.index.package}/":
            self._send(200, self.index.page(), {"Content-Type": "text/html"})
        elif name in self.index.wheels:
            body = fault.body if fault and fault.body is not None else self.index.wheels[name]
            self._send(200, body, {}, fault.cut_after if fault else None)
        else:
            self._send(404, b"", {})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _may_read(self) -> bool:
        given = (self.headers["Authorization"] or "").removeprefix("Basic ")
        return self.index.login in (None, b64decode(given).decode())

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
