"""Keeping tokens and passwords out of everything that is said."""

import logging
import os
import re

_SECRET = re.compile(r"(TOKEN(?!IZERS)|SECRET|PASSWORD|PASSWD|API_KEY|ACCESS_KEY)", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_SIGNED = re.compile(
    r"([?&](?:X-Amz-[\w-]+|Signature|Policy|Key-Pair-Id|sig|token)=)[^&\s'\"]+", re.IGNORECASE
)
_SHORTEST = 6  # characters; a shorter value would blot out words that are no secret


def hidden(text: str) -> str:
    """Blot out what must not be read: secrets of the environment, logins and signatures in URLs.

    Args:
        text: What is about to be printed.

    Returns:
        The text with `***` in their places.
    """
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, "***")
    return _SIGNED.sub(r"\1***", _LOGIN.sub("***", text))


def hide_in_logs() -> None:
    """Blot the same out of what the libraries below log."""
    for name in ("huggingface_hub", "datasets", "transformers", "fsspec"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(one, _Hiding) for one in handler.filters):
                handler.addFilter(_Hiding())


class _Hiding(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = hidden(record.getMessage()), None
        return True
