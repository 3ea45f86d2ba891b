"""Seeds that do not disturb one another: one per purpose, from the run's own."""

import hashlib

import torch


def generator(seed: int, *purpose: str) -> torch.Generator:
    """Make the random generator of one purpose.

    Draws for one purpose never shift those for another, so two runs of the same seed share
    whatever their plans have in common; that is what pairs strategies by seed.

    Args:
        seed: The run's seed.
        *purpose: What is drawn, such as "order", or "lora" and a module's name.
    """
    digest = hashlib.sha256("/".join([str(seed), *purpose]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
