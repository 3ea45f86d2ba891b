"""`file:` sources of models: a folder of this machine."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from adarank.errors import input_error
from adarank.pipeline.sources.offer import Offer


def open_folder(folder: Path) -> Offer:
    """Offer the files at the top of a folder.

    Raises:
        InputError: No such folder.
    """
    check_folder(folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return Offer(sizes, lambda names, into: copy_files(folder, names, into))


def check_folder(folder: Path) -> None:
    """Refuse a model's source that is no folder.

    Raises:
        InputError: No such folder.
    """
    if not folder.is_dir():
        raise input_error(
            "no such folder",
            where="model.source",
            got=str(folder),
            expected=f"a folder with config.json, absolute or below {Path.cwd()}",
            remedy="correct the path",
        )


def copy_files(folder: Path, names: Sequence[str], into: Path) -> None:
    """Copy files by name from one folder to another, symbolic links as what they point to."""
    for name in names:
        shutil.copyfile(folder / name, into / name)
