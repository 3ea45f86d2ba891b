"""The order that breaks ties between equal weights: every prefix of it is spread over the model.

With fewer ranks left than modules of equal weight, some go without. In this order, every kind and
every part of the depth gets its share, whatever the budget.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_NEVER = 1 << 62


def even_spread(table: pd.DataFrame) -> Integers:
    """Order modules so that the first n of them, for any n, represent all of them.

    Kernel herding (Chen, Welling and Smola 2010, arXiv 1203.3472): next comes the module
    most like all modules and least like those already taken. The kernel counts groups that
    two modules share: their kind, their block, and the sides of every cut through the
    depth, over all modules and again within a kind. So the n first hold close to n / N of
    each such group. All in integers, and ties go by name: the same on every machine.

    Args:
        table: `(n_modules)` rows with the columns module, kind and block, in any order.

    Returns:
        Row positions in that order, shape `(n_modules,)`.
    """
    by_name = np.argsort(table["module"].to_numpy(), kind="stable")
    kind = pd.factorize(table["kind"].to_numpy()[by_name], sort=True)[0].astype(np.int64)
    depth = pd.factorize(table["block"].to_numpy()[by_name], sort=True)[0].astype(np.int64)
    return by_name[_herd(kind, depth)]


def _herd(kind: Integers, depth: Integers) -> Integers:
    """Select, n times, the module that adds least to the groups' squared excess."""
    n = len(kind)
    alike_all = np.array([_likeness(kind, depth, m).sum() for m in range(n)])
    itself = np.array([_likeness(kind, depth, m)[m] for m in range(n)])
    excess = n * itself - 2 * alike_all
    taken = np.empty(n, dtype=np.int64)
    for turn in range(n):
        taken[turn] = np.argmin(excess)
        excess += 2 * (n * _likeness(kind, depth, taken[turn]) - alike_all)
        excess[taken[turn]] = _NEVER
    return taken


def _likeness(kind: Integers, depth: Integers, module: int | np.int64) -> Integers:
    """Kernel between a module and all modules, `(n_modules,)`."""
    depths = int(depth.max()) + 1
    same_kind, same_block = kind == kind[module], depth == depth[module]
    cuts_not_between = depths - np.abs(depth - depth[module])
    return depths * same_kind + depths * same_block + (1 + 2 * same_kind) * cuts_not_between
