"""The starts there are, and putting one into a model."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor

from adarank.allocation.starts import SIGNALS, StartName
from adarank.errors import InputError, Problem, input_error
from adarank.tuning.lora import factors_of, layers_of
from adarank.tuning.seeds import generator
from adarank.tuning.starts import gradient, inputs, kaiming, orthogonal
from adarank.tuning.starts.base import Given, Rows

STARTS: dict[StartName, Rows] = {
    "kaiming": kaiming.rows,
    "orthogonal": orthogonal.rows,
    "inputs": inputs.rows,
    "gradient": gradient.rows,
}


@torch.no_grad()
def set_start(
    model: PeftModel,
    start: StartName,
    directions: Mapping[str, Tensor] | Mapping[str, NDArray[np.float32]] | None = None,
    *,
    seed: int = 0,
) -> None:
    """Begin every adapter of a PEFT model: A by the start, B at zero.

    Args:
        model: With LoRA adapters of any ranks; changed in place.
        start: `kaiming` (PEFT's), `orthogonal`, `inputs` or `gradient`.
        directions: For the last two: orthonormal rows of every adapted module, by its name in the
            base model, as `adarank.directions_of` reads them from a table.
        seed: Decides what is drawn, per module and whatever the other modules are.

    Raises:
        InputError: No such start, or directions that are missing, of another width, or fewer than
            a module's rank; all modules at once.
    """
    if start not in STARTS:
        raise input_error(
            "no such start", where="start", got=start, expected=f"one of {', '.join(STARTS)}"
        )
    given = {
        name: torch.as_tensor(rows) for name, rows in (directions or {}).items() if start in SIGNALS
    }
    layers = layers_of(model)
    if start in SIGNALS:
        check_directions(
            {name: tuple(factors_of(layer)[0].shape) for name, layer in layers.items()}, given
        )
    for name, layer in layers.items():
        a, b = factors_of(layer)
        rank, d_in = a.shape
        draws = generator(seed, "lora", name)
        a.copy_(STARTS[start](Given(rank, d_in, draws, given.get(name))))
        b.zero_()


def check_directions(
    shapes: Mapping[str, tuple[int, ...]], directions: Mapping[str, Tensor]
) -> None:
    """Refuse directions that do not give every module as many rows as its rank.

    Args:
        shapes: Shape of A, (rank, d_in), by module name.
        directions: By module name.

    Raises:
        InputError: All that is wrong at once.
    """
    problems: list[Problem] = []
    for name, (rank, d_in) in sorted(shapes.items()):
        found = tuple(directions[name].shape) if name in directions else "none"
        if found == "none" or found[0] < rank or found[1] != d_in:
            expected = f"at least {rank} of width {d_in}"
            remedy = "score the same modules of the same model, with more components"
            problems.append(Problem("too few directions", name, f"{found}", expected, remedy))
    if problems:
        raise InputError(*problems)
