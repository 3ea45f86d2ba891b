"""Give every module of a transformer the LoRA rank it deserves."""

from importlib import import_module, metadata
from typing import Any

# Loaded when first used: importing adarank takes no torch, and an edit to one of these modules
# concerns only who uses it. Their types are in __init__.pyi.
_HOMES = {
    "AdaRankError": "adarank.errors",
    "InputError": "adarank.errors",
    "Module": "adarank.models.modules",
    "Noise": "adarank.scoring.noise",
    "RankPlan": "adarank.allocation.plan",
    "RunError": "adarank.errors",
    "Scale": "adarank.allocation.scale",
    "SortNet": "adarank.ordering.estimator",
    "allocate": "adarank.allocation.allocate",
    "directions_of": "adarank.allocation.directions",
    "find_bias_norm": "adarank.models.norms",
    "find_modules": "adarank.models.modules",
    "gradient_directions": "adarank.scoring.signals.gradient_directions",
    "input_directions": "adarank.scoring.signals.input_directions",
    "merge": "adarank.pipeline.merging.merge",
    "score": "adarank.scoring.score",
    "set_start": "adarank.tuning.starts.registry",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})


def _version() -> str:
    try:
        return metadata.version("adarank")
    except metadata.PackageNotFoundError:
        return "0+uninstalled"
