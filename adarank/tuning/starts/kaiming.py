"""PEFT's own start: A random, B zero (Hu et al. 2021, arXiv 2106.09685)."""

from torch import Tensor

from adarank.tuning.resizing import kaiming_rows
from adarank.tuning.starts.base import Given


def rows(given: Given) -> Tensor:
    """Draw entries uniformly within 1 / sqrt(d_in), shape (rank, d_in)."""
    return kaiming_rows(given.rank, given.d_in, given.draws)
