"""Features of modules that need their weights and no forward of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from adarank.ordering.lists import refuse

Floats = NDArray[np.float64]

KINDS = ("query", "key", "value", "dense", "up", "gate", "down")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ALIGNED = 8


@dataclass(frozen=True)
class ModuleWeight:
    """A module as its features need it.

    Attributes:
        name: Full dotted name.
        block: Its depth, 0 nearest the input.
        kind: What it is in its block: query, key, value, dense, up, gate, down, or another.
        weight: Shape (d_out, d_in), finite.
    """

    name: str
    block: int
    kind: str
    weight: Tensor


def module_features(
    modules: Sequence[ModuleWeight], *, advance: Callable[[], None] = lambda: None
) -> pd.DataFrame:
    """Compute every module's features.

    With s the singular values of a weight, highest first, and m their number:

    - `depth`: block / (number of blocks - 1), and its square; `kind_*`: one column per kind.
    - `log_in`, `log_out`: logarithms of the shape.
    - `log_norm`, `log_top`: of |W|_F / sqrt(d_in d_out) and of s_1, less the model's mean.
    - `stable_rank`: |W|_F^2 / s_1^2 / m (Rudelson and Vershynin 2007, arXiv math/0503442).
    - `effective_rank`: exp(entropy of s / sum(s)) / m (Roy and Vetterli 2007, EUSIPCO).
    - `quantile_*`: quantiles of s / s_1.
    - `aligned_before`, `aligned_after`: overlap of the leading right singular vectors with
      those of the same kind in the block before and after, |V^T V'|_F^2 / k with k up to 8; 0
      where there is none of that shape.

    Args:
        modules: All modules that are to be ordered; their neighbours and means count.
        advance: Called after each module's decomposition.

    Returns:
        A row per module, indexed by name, float64.

    Raises:
        OrderingError: No modules, two of the same name, or a weight that is not finite.
    """
    _check(modules)
    spectra: list[tuple[Floats, Floats]] = []
    for module in modules:
        spectra.append(_spectrum(module.weight))
        advance()
    n_blocks = max(module.block for module in modules) + 1
    vectors = {
        (module.block, module.kind): leading
        for module, (_, leading) in zip(modules, spectra, strict=True)
    }
    table = pd.DataFrame(
        [
            _features(module, values, n_blocks) | _alignment(module, leading, vectors)
            for module, (values, leading) in zip(modules, spectra, strict=True)
        ],
        index=pd.Index([module.name for module in modules], name="module"),
        dtype=np.float64,
    )
    # Models differ in scale by a constant that says nothing about which module matters.
    relative = ["log_norm", "log_top"]
    table[relative] -= table[relative].mean()
    return table


def _features(module: ModuleWeight, values: Floats, n_blocks: int) -> dict[str, float]:
    d_out, d_in = module.weight.shape
    top, n = float(values[0]), len(values)
    shares = values / values.sum() if top > 0 else np.full(n, 1 / n)
    positive = shares[shares > 0]
    depth = module.block / max(n_blocks - 1, 1)
    squared = float((values**2).sum())
    tiny = float(np.finfo(np.float64).tiny)
    return {
        "depth": depth,
        "depth_squared": depth**2,
        **{f"kind_{kind}": float(module.kind == kind) for kind in KINDS},
        "kind_other": float(module.kind not in KINDS),
        "log_in": float(np.log(d_in)),
        "log_out": float(np.log(d_out)),
        "log_norm": 0.5 * float(np.log(max(squared, tiny) / (d_in * d_out))),
        "log_top": float(np.log(max(top, tiny))),
        "stable_rank": squared / top**2 / n if top > 0 else 0.0,
        "effective_rank": float(np.exp(-(positive * np.log(positive)).sum())) / n,
        **{
            f"quantile_{q}": float(np.quantile(values, q)) / top if top > 0 else 0.0
            for q in QUANTILES
        },
    }


def _alignment(
    module: ModuleWeight, leading: Floats, vectors: Mapping[tuple[int, str], Floats]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, block in (("before", module.block - 1), ("after", module.block + 1)):
        other = vectors.get((block, module.kind))
        aligned = other is not None and other.shape == leading.shape
        overlap = float(np.square(leading.T @ np.asarray(other)).sum()) if aligned else 0.0
        found[f"aligned_{name}"] = overlap / leading.shape[1]
    return found


@torch.no_grad()
def _spectrum(weight: Tensor) -> tuple[Floats, Floats]:
    """Singular values, highest first, and the leading right singular vectors, (d_in, k).

    From the smaller Gram matrix, in float64: values below 1e-8 of the largest are lost, which
    no feature can notice.
    """
    matrix = weight.detach().double()
    wide = matrix.shape[1] > matrix.shape[0]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    squares, vectors = torch.linalg.eigh(gram)
    values = squares.flip(0).clamp(min=0).sqrt()
    # In this order, for a view of all vectors would hold them.
    leading = vectors[:, -_ALIGNED:].flip(1)
    if wide:
        leading = torch.nn.functional.normalize(matrix.T @ leading, dim=0)
    return values.cpu().numpy(), leading.cpu().numpy()


def _check(modules: Sequence[ModuleWeight]) -> None:
    if not modules:
        raise refuse("no modules", where="modules", expected="at least one")
    names = [module.name for module in modules]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise refuse("a module is listed twice", where=min(repeated), expected="unique names")
    for module in modules:
        if module.weight.ndim != 2 or not bool(torch.isfinite(module.weight).all()):
            raise refuse(
                "the weight is no finite matrix",
                where=module.name,
                got=f"shape {tuple(module.weight.shape)}",
                expected="shape (d_out, d_in), every entry finite",
            )
