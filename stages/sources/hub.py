"""`hf:` sources of models, and what the hub's refusals mean."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from adarank.errors import AdaRankError, input_error, run_error
from stages.sources.local import copy_files
from stages.sources.offer import Offer
from stages.sources.retry import ATTEMPTS, chain, passing, persistently
from stages.sources.spec import HubSource

T = TypeVar("T")


def open_repository(source: HubSource) -> Offer:
    """Resolve the revision to a commit and offer the files that the repository has there.

    Raises:
        InputError: No such repository or revision, or no access to it.
        RunError: The hub could not be reached.
    """
    info = from_hub(
        lambda: HfApi().model_info(
            source.repository, revision=source.revision, files_metadata=True
        ),
        source,
        "model.source",
    )
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}

    def fetch(names: Sequence[str], into: Path) -> None:
        cached = from_hub(
            lambda: snapshot_download(
                source.repository, revision=info.sha, allow_patterns=list(names)
            ),
            source,
            "model.source",
        )
        copy_files(Path(cached), names, into)

    return Offer(sizes, fetch, info.sha)


def from_hub(call: Callable[[], T], source: HubSource, where: str) -> T:
    """Call the hub, again where the fault is a passing one; tell a refusal plainly.

    Raises:
        InputError: The hub refuses what the source names.
        RunError: The network failed at every try.
        OSError: The disk is full.
    """
    try:
        return persistently(call)
    except Exception as error:
        told = _told(error, source, where)
        if told is None:
            raise
        raise told from None


def _told(error: Exception, source: HubSource, where: str) -> Exception | None:
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return cause
    if passing(error):
        return _unreachable(error, source, where)
    for kinds, what, remedy in _REFUSALS:
        if any(isinstance(cause, kinds) for cause in causes):
            return _refusal(source, where, what, remedy)
    if isinstance(error, (HfHubHTTPError, OSError, ValueError, RuntimeError)):
        return _refusal(source, where, f"the hub's answer: {error}", "change what is asked for")
    return None


def _unreachable(error: Exception, source: HubSource, where: str) -> AdaRankError:
    return run_error(
        f"the hub could not be reached in {ATTEMPTS} tries",
        where=where,
        got=f"{source.repository}: {error}",
        remedy="look at the connection (and HF_ENDPOINT, HTTPS_PROXY), then run again",
    )


def _refusal(source: HubSource, where: str, what: str, remedy: str) -> AdaRankError:
    config = f"/{source.config}" if source.config else ""
    named = f"hf:{source.repository}{config}@{source.revision}"
    return input_error(what, where=where, got=named, remedy=remedy)


_LOGIN = "`hf auth login`, or set HF_TOKEN"
_REFUSALS: list[tuple[type[Exception] | tuple[type[Exception], ...], str, str]] = [
    (
        OfflineModeIsEnabled,
        "the hub is switched off here",
        "unset HF_HUB_OFFLINE, or use a pypi: or file: source",
    ),
    (
        GatedRepoError,
        "the repository is gated and this account may not read it",
        f"ask for access on its page, then {_LOGIN}",
    ),
    (DisabledRepoError, "the repository is disabled by the hub", "choose another source"),
    (
        RepositoryNotFoundError,
        "no such repository, or a private one",
        f"check the name; for a private one {_LOGIN}",
    ),
    (
        RevisionNotFoundError,
        "the repository has no such revision",
        "@main, or a tag or commit from its history",
    ),
    (HFValidationError, "not a repository's name", "hf:ORG/NAME@REVISION"),
    ((EntryNotFoundError, LocalEntryNotFoundError), "a file is missing there", "another revision"),
]
