"""Which commit a branch stood for when it was fetched first: recorded, and kept to.

A branch moves; a study should not move with it unawares. locks/model.json and locks/dataset.json
belong in Git. They are no outs of a stage: DVC removes outs before the command that reads them.
"""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionResolutionError

from stages.cli import say
from stages.files import read_json, write_json
from stages.sources.spec import HubSource

LOCKS = Path("locks")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def recorded(part: str, source: str) -> str | None:
    """The commit recorded for a source, None where there is none.

    Args:
        part: `model` or `dataset`.
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


def tell_of_the_record(part: str, source: HubSource, commit: str, head: str | None) -> None:
    """Say that the recorded commit is used, where the branch points elsewhere by now."""
    if head != commit:
        now = f"is {head} by now" if head else "is not to be had from the hub now"
        say(
            f"download: {source.repository}@{source.revision} {now}; "
            f"the recorded {commit} is used (delete locks/{part}.json to take the branch anew)"
        )


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
