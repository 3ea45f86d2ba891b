"""Put a report on its pull request, as one comment that is updated.

Run: python3 -m adarank.commands.pull_request.comment REPORT, by a workflow that may write
comments. What it reads was written by the pull request's own run, maybe a fork's: text that is
cut, cleaned and shown. Which pull request it is for, GitHub's event and API alone decide. Needs no
installation: beside a token that may write, nothing but Python's library should run.
"""

import json
import os
import re
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

MARKER = "<!-- adarank: what this pull request changes in the study -->"
AUTHOR = "github-actions[bot]"
LIMIT = 60_000  # GitHub takes 65,536 characters
_PAGE = 100


@dataclass(frozen=True)
class GitHub:
    """One repository, by its API.

    Attributes:
        url: The API's address.
        repository: `owner/name`.
        token: What allows to write comments.
    """

    url: str
    repository: str
    token: str

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """Send a request about the repository; the JSON that came back."""
        request = urllib.request.Request(
            f"{self.url}/repos/{self.repository}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def pages(self, path: str) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        page: list[Any] = [None] * _PAGE
        number = 1
        while len(page) == _PAGE:
            page = self.call("GET", f"{path}?{urlencode({'per_page': _PAGE, 'page': number})}")
            yield from page
            number += 1


def pull_request(github: GitHub, run: dict[str, Any]) -> int | None:
    """Find the open pull request whose head is what a workflow run ran on.

    The event names no pull request where the head is a fork's, so it is looked up by branch, and
    must be at the very commit of the run; None if none is, or more than one.
    """
    head = run.get("head_repository") or {}
    if not head:
        return None
    branch = f"{head['owner']['login']}:{run['head_branch']}"
    query = urlencode({"state": "open", "head": branch, "per_page": _PAGE})
    found = [
        pull["number"]
        for pull in github.call("GET", f"pulls?{query}")
        if pull["head"]["sha"] == run["head_sha"]
        and (pull["head"]["repo"] or {}).get("full_name") == head["full_name"]
    ]
    return found[0] if len(found) == 1 else None


def read_report(path: Path) -> str:
    """Read a report that nobody vouches for: a plain file, so much of it at most, as text.

    Raises:
        OSError: There is none, or it is a link or anything else but a plain file.
    """
    # A link could show what lies on this machine.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is no plain file")
        text = stream.read(LIMIT + 1).decode("utf-8", errors="replace")
    return cleaned(text)


def cleaned(text: str) -> str:
    """Remove from a text what would mention people, hide or imitate; cut it if it is long."""
    plain = "".join(char for char in text if char.isprintable() or char == "\n")
    quiet = re.sub(r"@(?=\w)", "@\N{ZERO WIDTH SPACE}", plain).replace("<!--", "&lt;!--")
    return quiet if len(quiet) <= LIMIT else f"{quiet[:LIMIT]}\n\n... cut: the run has the rest"


def put(github: GitHub, number: int, body: str) -> str:
    """Update the comment that this wrote before, or write the first; where it is."""
    path = f"issues/{number}/comments"
    known = [one["id"] for one in github.pages(path) if _ours(one)]
    if known:
        return github.call("PATCH", f"issues/comments/{known[0]}", {"body": body})["html_url"]
    return github.call("POST", path, {"body": body})["html_url"]


def _ours(comment: dict[str, Any]) -> bool:
    written = str(comment.get("body")).startswith(MARKER)
    return written and (comment.get("user") or {}).get("login") == AUTHOR


def main(report: Path) -> str:
    """Comment on the pull request of the event's run; what was done, in words."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    run = event["workflow_run"]
    address = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    github = GitHub(address, os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"])
    number = pull_request(github, run)
    if number is None:
        return "no comment: no single open pull request is at the commit of that run"
    try:
        text = read_report(report)
    except OSError as error:
        return f"no comment: that run left no report ({error})"
    origin = f"<sub>Written by the pull request's own code in [its run]({run['html_url']}).</sub>"
    return put(github, number, f"{MARKER}\n{text}\n\n{origin}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{main(Path(sys.argv[1]))}\n")
    except (urllib.error.URLError, TimeoutError) as failure:
        sys.exit(f"GitHub's API: {failure}")
