"""Progress of a long loop: a live bar on a terminal, a line now and then elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(label: str, total: int, *, delay: float = 0) -> Iterator[Callable[[], None]]:
    """Show a bar of `total` steps; yields the function that advances it by one.

    Args:
        label: What stands before the bar.
        total: How many steps there are.
        delay: Seconds until it shows: what is done by then needs no bar.
    """
    every = 0.2 if sys.stderr.isatty() else 10.0
    quiet = os.environ.get("RANK", "0") != "0"
    with tqdm(
        total=total,
        disable=quiet,
        desc=label,
        mininterval=every,
        dynamic_ncols=True,
        delay=delay,
    ) as bar:

        def advance() -> None:
            bar.update()

        yield advance
