"""Which commit a branch stood for when it was fetched first: recorded, and kept to.

A branch moves; a study should not move with it unawares. locks/model.json and
locks/tasks/TASK.json belong in Git. They are no outs of a stage: DVC removes outs before the
command that reads them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from adarank.errors import InputError, input_error
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import read_json, write_json
from adarank.pipeline.sources.spec import HubSource

LOCKS = Path("locks")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def recorded(part: str, source: str) -> str | None:
    """The commit recorded for a source, None where there is none.

    Args:
        part: `model`, or `tasks/NAME`.
        source: What params.yaml names now; a record of another source does not count.
    """
    path = LOCKS / f"{part}.json"
    found: Any = read_json(path) if path.exists() else None
    if not isinstance(found, dict) or found.get("source") != source:
        return None
    commit = found.get("commit")
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def record(part: str, source: str, commit: str | None) -> None:
    """Record the commit of a source of the hub that names a branch or a tag."""
    if commit and source.startswith("hf:") and not source.endswith(f"@{commit}"):
        write_json(LOCKS / f"{part}.json", {"source": source, "commit": commit})


def info_at(ask: Callable[..., Any], part: str, source: HubSource, known: str | None) -> Any:
    """Ask the hub about a repository at the recorded commit, or where its revision points now.

    Args:
        ask: HfApi's model_info or dataset_info.
        part: `model` or `dataset`.
        source: The repository and revision.
        known: The recorded commit; where the branch points elsewhere by now, a line says so.

    Raises:
        InputError: The recorded commit is not there any more.
        HfHubHTTPError: The hub refuses.
    """
    if known is None:
        return ask(source.repository, revision=source.revision, files_metadata=True)
    try:
        info = ask(source.repository, revision=known, files_metadata=True)
    except RevisionNotFoundError:
        raise _gone(part, source, known) from None
    try:
        head = ask(source.repository, revision=source.revision, files_metadata=True).sha
    except HfHubHTTPError:
        head = None
    if head != known:
        now = f"is {head} by now" if head else "is not to be had from the hub now"
        say(
            f"download: {source.repository}@{source.revision} {now}; "
            f"the recorded {known} is used (delete its file in {LOCKS}/ to take the branch again)"
        )
    return info


def cached_commit(source: HubSource, kind: str, known: str | None) -> str | None:
    """The commit that a source stands for, without asking the hub.

    Args:
        source: The repository and revision.
        kind: `model` or `dataset`.
        known: The recorded commit, which goes before the cache's idea of the branch.
    """
    if known or _COMMIT.fullmatch(source.revision):
        return known or source.revision
    try:
        found = HfApi().resolve_revision(
            source.repository, repo_type=kind, revision=source.revision, local_files_only=True
        )
    except (RevisionResolutionError, HfHubHTTPError, OSError):
        return None
    return found.resolved


def _gone(part: str, source: HubSource, commit: str) -> InputError:
    return input_error(
        "the repository has no such revision any more",
        where=f"{LOCKS}/{part}.json",
        got=f"{source.repository} at {commit}",
        expected="the commit that was fetched before",
        remedy=f"delete {LOCKS}/{part}.json to take {source.revision} as it is now",
    )
