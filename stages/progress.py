"""Progress of a long loop: a live bar on a terminal, a line now and then elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar of `total` steps; yields the function that advances it by one."""
    every = 0.2 if sys.stderr.isatty() else 10.0
    quiet = os.environ.get("RANK", "0") != "0"
    with tqdm(total=total, disable=quiet, desc=label, mininterval=every, dynamic_ncols=True) as bar:

        def advance() -> None:
            bar.update()

        yield advance
