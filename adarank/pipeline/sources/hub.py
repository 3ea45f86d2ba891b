"""`hf:` sources of models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import OfflineModeIsEnabled

from adarank.errors import AdaRankError
from adarank.pipeline.console.reporting import say
from adarank.pipeline.sources.commits import cached_commit, info_at
from adarank.pipeline.sources.local import copy_files
from adarank.pipeline.sources.offer import Offer
from adarank.pipeline.sources.promised import Promise, kept, promises
from adarank.pipeline.sources.refusals import from_hub
from adarank.pipeline.sources.retry import chain
from adarank.pipeline.sources.spec import HubSource

_WHERE = "model.source"


def open_repository(source: HubSource, recorded: str | None = None) -> Offer:
    """Resolve the revision to a commit and offer the files that the repository has there.

    Args:
        source: The repository and revision.
        recorded: The commit that the revision stood for when it was fetched first; it is used
            wherever the revision points by now.

    Raises:
        InputError: No such repository or revision, no access to it, or names that climb.
        RunError: The hub could not be reached, or sends other bytes than it promises.
    """
    try:
        info = from_hub(
            lambda: info_at(HfApi().model_info, "model", source, recorded), source, _WHERE
        )
    except AdaRankError as error:
        # Switched off on purpose, the hub may still have been asked before.
        offline = any(isinstance(cause, OfflineModeIsEnabled) for cause in chain(error))
        commit = cached_commit(source, "model", recorded) if offline else None
        if commit is None:
            raise
        return _offer_of_the_cache(source, commit)
    promised = promises(info.siblings, _WHERE)
    sizes = {name: promise.size for name, promise in promised.items()}
    return Offer(sizes, _fetcher(source, info.sha, promised), info.sha)


def _fetcher(source: HubSource, commit: str, promised: Mapping[str, Promise]) -> Any:
    def fetch(names: Sequence[str], into: Path) -> None:
        def download() -> str:
            return snapshot_download(source.repository, revision=commit, allow_patterns=list(names))

        wanted = {name: promised[name] for name in names if name in promised}
        cached = from_hub(lambda: kept(download, source, "model", commit, wanted), source, _WHERE)
        copy_files(Path(cached), names, into)

    return fetch


def _offer_of_the_cache(source: HubSource, commit: str) -> Offer:
    """Offer what the hub's cache has of a commit, when the hub is switched off."""
    exact = replace(source, revision=commit)
    cached = from_hub(
        lambda: snapshot_download(
            source.repository, revision=commit, allow_patterns=["config.json"]
        ),
        exact,
        _WHERE,
    )
    say(f"download: the hub is switched off; {source.repository} at {commit} is in its cache")
    files = [path for path in Path(cached).iterdir() if path.is_file()]
    sizes = {path.name: path.stat().st_size for path in files}
    return Offer(sizes, _fetcher(exact, commit, {}), commit)
