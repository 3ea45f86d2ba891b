"""Safetensors files: the same tensors give the same bytes."""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

COPIES = (".original_module.", ".modules_to_save.")
"""Parts of names in an adapter's file: of trained biases, PEFT also writes copies by its own names
of what is trained whole, and never reads them."""


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file; the same tensors give the same bytes."""
    # One metadata key: with two, their order, and so the bytes, would change from run to run.
    # Straight from the tensors' memory; `save` would hold two copies of them.
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors lets the owner alone read it
