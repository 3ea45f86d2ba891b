"""Where the project keeps what any of a user's projects may use again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where fetched models are kept: ADARANK_CACHE, or adarank in the user's cache folder."""
    own = os.environ.get("ADARANK_CACHE")
    users = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own or f"{users}/adarank").expanduser()


def scratch_folder() -> Path | None:
    """Where interrupted work is kept: ADARANK_SCRATCH, or scratch in the cache folder.

    Returns:
        None for ADARANK_SCRATCH=off: nowhere.
    """
    own = os.environ.get("ADARANK_SCRATCH")
    if own == "off":
        return None
    return Path(own).expanduser().absolute() if own else cache_folder() / "scratch"
