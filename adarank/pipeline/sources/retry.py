"""Trying again what a network may have failed for a moment."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - its HTTP library changes names
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from adarank.errors import AdaRankError
from adarank.pipeline.console.reporting import say

T = TypeVar("T")

ATTEMPTS = 3
WAIT = wait_random_exponential(multiplier=2, max=30)  # seconds
MOST_PATIENCE = 300.0  # seconds; a server that asks for more is asked again before that
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


class NetworkError(Exception):
    """A failure of the network that another try may not meet."""


# The hub's client reports a file that it could not reach as one absent from its cache.
_PASSING_KINDS = (NetworkError, HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError)


def persistently(call: Callable[[], T]) -> T:
    """Call, and call again with growing pauses while the fault is a passing one.

    Raises:
        Exception: Whatever `call` raised last.
    """
    retrying = Retrying(
        retry=retry_if_exception(passing),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_pause,
        before_sleep=_tell,
        reraise=True,
    )
    return retrying(call)


def passing(error: BaseException) -> bool:
    """Return whether another try could help: a time-out, a lost connection, a busy server."""
    causes = list(chain(error))
    if any(isinstance(cause, (OfflineModeIsEnabled, AdaRankError)) for cause in causes):
        return False
    statuses = [status for cause in causes if (status := _status(cause)) is not None]
    if statuses:
        # The client wraps a refusal too in the words for a lost connection.
        return statuses[0] in _PASSING_STATUS
    return any(isinstance(cause, _PASSING_KINDS) for cause in causes)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and, one by one, what it was raised from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    return None if response is None else response.status_code


def _pause(state: RetryCallState) -> float:
    """Seconds to wait: growing, and no less than a busy server asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = [_asked_for(cause) for cause in chain(error)] if error else []
    return max([WAIT(state), *asked])


def _asked_for(error: BaseException) -> float:
    response = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    header = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(header), MOST_PATIENCE) if header.isdigit() else 0.0


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    say(f"download: {reason}; try {state.attempt_number + 1} of {ATTEMPTS} in {pause:.0f} s")
