"""Orders from a comparator that may contradict itself: merge sort, and wins against all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Before = Callable[[int, int], bool]


@dataclass(frozen=True)
class Sorted:
    """An order and the comparisons that it took.

    Attributes:
        order: Positions of the items, first to last.
        compared: Each comparison as (put first, put after), in the order asked.
    """

    order: list[int]
    compared: list[tuple[int, int]]

    @property
    def comparisons(self) -> int:
        """How many comparisons were asked for."""
        return len(self.compared)


def merge_sort(n: int, before: Before) -> Sorted:
    """Sort by a comparator, whatever it answers.

    Any answers, cyclic ones included, give a permutation after at most
    n ceil(log2 n) - 2^ceil(log2 n) + 1 comparisons. The sort is stable: an item goes ahead of an
    earlier one only where `before` puts it there.

    Args:
        n: How many items.
        before: Whether the item at the first position comes before that at the second.

    Example:
        >>> values = [3, 1, 2]
        >>> merge_sort(3, lambda i, j: values[i] < values[j]).order
        [1, 2, 0]
        >>> sorted(merge_sort(3, lambda i, j: (j - i) % 3 == 1).order)  # a cycle
        [0, 1, 2]
    """
    compared: list[tuple[int, int]] = []

    def merged(left: list[int], right: list[int]) -> list[int]:
        result: list[int] = []
        i = j = 0
        while i < len(left) and j < len(right):
            if before(right[j], left[i]):
                compared.append((right[j], left[i]))
                result.append(right[j])
                j += 1
            else:
                compared.append((left[i], right[j]))
                result.append(left[i])
                i += 1
        return result + left[i:] + right[j:]

    def ordered(start: int, stop: int) -> list[int]:
        if stop - start < 2:
            return list(range(start, stop))
        middle = (start + stop) // 2
        return merged(ordered(start, middle), ordered(middle, stop))

    return Sorted(ordered(0, n), compared)


def wins(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count each item's wins against all others, a tie as half (Copeland's score).

    Needs all n (n - 1) / 2 comparisons, and depends on no order of the items.

    Args:
        margins: Antisymmetric, shape (n, n), positive where the row's item comes first.

    Returns:
        Shape (n,), between 0 and n - 1.
    """
    return (np.sign(margins).sum(axis=1) + len(margins) - 1) / 2


def intransitivity(margins: NDArray[np.float64]) -> float:
    """Measure the share of triples of items that form a cycle: 0 where an order explains all.

    1 - sum_i w_i (w_i - 1) / 2 / C(n, 3), w_i the wins of item i (Kendall and Babington Smith
    1940, Biometrika 31:324). Answers at random give 1/4. A tie counts as a win of the item
    listed first.

    Args:
        margins: As for `wins`.

    Returns:
        A share; 0 for fewer than three items.
    """
    n = len(margins)
    if n < 3:
        return 0.0
    beats = margins > 0
    beats |= np.triu(margins == 0, k=1)
    won = beats.sum(axis=1)
    acyclic = float((won * (won - 1) / 2).sum())
    return 1 - acyclic / (n * (n - 1) * (n - 2) / 6)
