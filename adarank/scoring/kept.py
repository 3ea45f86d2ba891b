"""What scoring hands out while it runs, and takes back when it runs again after an interruption."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Kept(Protocol):
    """Finished parts of a scoring run, by name.

    The library only names them; where they are kept, how often they are written and what else
    decides them (model, probe, settings, code) is for whoever calls it.
    """

    def get(self, name: str) -> Tensor | None:
        """Return what was saved by this name, bit for bit, on the CPU; None for nothing."""
        ...

    def put(self, name: str, values: Tensor) -> None:
        """Save a finished part; `values` are not changed afterwards."""
        ...

    def drop(self, name: str) -> None:
        """Forget a part, which will not be asked for again."""
        ...


class NothingKept:
    """Keeps nothing."""

    def get(self, name: str) -> Tensor | None:  # noqa: ARG002
        """Return None: nothing is saved."""
        return None

    def put(self, name: str, values: Tensor) -> None:
        """Do nothing: nothing is saved."""

    def drop(self, name: str) -> None:
        """Do nothing: nothing was saved."""


def kept_or_made(kept: Kept, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return what is saved by a name; else make it, and save it."""
    found = kept.get(name)
    if found is not None:
        return found.numpy()
    made = make()
    kept.put(name, torch.from_numpy(made))
    return made
