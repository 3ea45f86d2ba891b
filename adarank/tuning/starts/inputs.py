"""Along the inputs: A's rows are the directions in which the module's inputs vary most.

EVA's start (Paischer et al. 2024, arXiv 2410.07170) without its redistribution of ranks: of all A
of orthonormal rows, A x then keeps most of the inputs' variance. The directions are those of
`adarank.scoring.signals.input_directions`, of norm ROW_NORM each.
"""

from torch import Tensor

from adarank.tuning.starts.base import ROW_NORM, Given


def rows(given: Given) -> Tensor:
    """Take the leading principal directions of the module's inputs."""
    assert given.directions is not None
    return ROW_NORM * given.directions[: given.rank].float()
