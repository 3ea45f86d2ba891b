"""PEFT's own start: A random, B zero (Hu et al. 2021, arXiv 2106.09685)."""

import math

import torch
from torch import Tensor, nn

from adarank.tuning.starts.base import Given


def rows(given: Given) -> Tensor:
    """Draw entries uniformly within 1 / sqrt(d_in): kaiming_uniform_ with a = sqrt(5)."""
    empty = torch.empty(given.rank, given.d_in)
    return nn.init.kaiming_uniform_(empty, a=math.sqrt(5), generator=given.draws)
