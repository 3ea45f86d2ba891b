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

    Where ADARANK_SCRATCH is a URL, the folder holds what concerns this machine alone: locks,
    hashes of its files, copies of what it fetched.

    Returns:
        None for ADARANK_SCRATCH=off: nowhere.
    """
    own = os.environ.get("ADARANK_SCRATCH", "").removeprefix("file://")
    if own == "off":
        return None
    if not own or scratch_url() is not None:
        return cache_folder() / "scratch"
    return Path(own).expanduser().absolute()


def scratch_url() -> str | None:
    """The URL in ADARANK_SCRATCH, such as s3://bucket/prefix; None where it is a folder."""
    own = os.environ.get("ADARANK_SCRATCH", "")
    return own if "://" in own and not own.startswith("file://") else None
