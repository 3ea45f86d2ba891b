"""What the hub's refusals mean, put so that the reader knows what to do next."""

import errno
from collections.abc import Callable
from typing import TypeVar

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
from adarank.pipeline.sources.retry import ATTEMPTS, chain, passing, persistently
from adarank.pipeline.sources.spec import HubSource

T = TypeVar("T")


def from_hub(call: Callable[[], T], source: HubSource, where: str) -> T:
    """Call the hub, again where the fault is a passing one; explain a refusal.

    Raises:
        InputError: The hub refuses what the source names.
        RunError: The network failed at every try.
        OSError: The disk is full.
    """
    try:
        return persistently(call)
    except AdaRankError:
        raise
    except Exception as error:
        explained = _explained(error, source, where)
        if explained is None:
            raise
        raise explained from None


def _explained(error: Exception, source: HubSource, where: str) -> Exception | None:
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return cause
    if passing(error):
        return _unreachable(error, source, where)
    for matches, what, remedy in _REFUSALS:
        if any(matches(cause) for cause in causes):
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


def _kind(*kinds: type[Exception]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _status(*codes: int) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, HfHubHTTPError) and error.response.status_code in codes


# The datasets library keeps of these errors nothing but words, and is not imported for them.
def _is_gated(error: BaseException) -> bool:
    gated_dataset = type(error).__name__ == "DatasetNotFoundError" and "gated" in str(error)
    return gated_dataset or isinstance(error, GatedRepoError)


def _is_absent(error: BaseException) -> bool:
    absent_dataset = type(error).__name__ == "DatasetNotFoundError" and "accessed" in str(error)
    return absent_dataset or isinstance(error, RepositoryNotFoundError)


_LOGIN = "`hf auth login`, or set HF_TOKEN"
_REFUSALS: list[tuple[Callable[[BaseException], bool], str, str]] = [
    (
        _kind(OfflineModeIsEnabled),
        "the hub is switched off here, and its cache has not all of this",
        "unset HF_HUB_OFFLINE, or use a pypi: or file: source",
    ),
    (
        _is_gated,
        "the repository is gated and this account may not read it",
        f"ask for access on its page, then {_LOGIN}",
    ),
    (_kind(DisabledRepoError), "the repository is disabled by the hub", "choose another source"),
    (
        _is_absent,
        "no such repository, or a private one",
        f"check the name; for a private one {_LOGIN}",
    ),
    (
        _kind(RevisionNotFoundError),
        "the repository has no such revision",
        "@main, or a tag or commit from its history",
    ),
    (_status(401), "the hub does not accept this login", f"log in again: {_LOGIN}"),
    (
        _status(403),
        "this account may not read the repository",
        f"a token with leave to read it: {_LOGIN}",
    ),
    (_kind(HFValidationError), "not a repository's name", "hf:ORG/NAME@REVISION"),
    (
        _kind(EntryNotFoundError, LocalEntryNotFoundError),
        "a file is missing there",
        "another revision",
    ),
]
