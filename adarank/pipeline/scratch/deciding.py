"""What decides a result beside parameters and data: the code, the libraries, the machine."""

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from platform import machine, python_version
from typing import Any

import torch

_LIBRARIES = ("accelerate", "numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")


def surroundings(code: str, device: torch.device) -> dict[str, Any]:
    """Return what a stage's numbers may depend on, bit for bit, beside its inputs.

    Args:
        code: The stage's `fingerprint`.
        device: Where it computes.
    """
    return {
        "code": code,
        "libraries": _versions(),
        "python": python_version(),
        "device": _about(device),
    }


@cache
def _versions() -> dict[str, str]:
    # What packs a base decides its weights, where it is installed.
    packing = ["bitsandbytes"] if find_spec("bitsandbytes") else []
    return {name: version(name) for name in [*_LIBRARIES, *packing]}


def _about(device: torch.device) -> list[str | int]:
    if device.type == "cuda":
        return ["cuda", torch.cuda.get_device_name(device)]
    # Threads decide how sums are cut up, the instruction set which kernels run.
    return [
        device.type,
        machine(),
        torch.backends.cpu.get_cpu_capability(),
        torch.get_num_threads(),
    ]
