"""What training a plan costs per row: floating-point operations, and memory kept for the backward.

Counted from the modules' shapes and the plan alone, for texts of one length. A frozen module costs
its forward, and the way back through it only where something before it is trained. So adapters in
late blocks alone save the first blocks' backward, and with stored outputs their forward as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adarank.models.kinds import TOKEN_BY_TOKEN
from adarank.models.modules import Module

LEVELS = {"query": 0, "key": 0, "value": 0, "dense": 1, "up": 2, "gate": 2, "gate_up": 2, "down": 3}
"""A module's place within its block: those of one level read the same input."""

BYTES = 4


@dataclass(frozen=True)
class Cost:
    """What a training step costs for each row.

    Attributes:
        forward_flops: Floating-point operations of the forward pass, a product and a sum apart.
        backward_flops: Those of the backward pass.
        kept_bytes: Memory of float32 activations kept for the backward pass.
    """

    forward_flops: float
    backward_flops: float
    kept_bytes: float

    @property
    def flops(self) -> float:
        """Operations of both passes."""
        return self.forward_flops + self.backward_flops


def training_cost(
    modules: Sequence[Module],
    ranks: Mapping[str, float],
    tokens: int,
    *,
    stored_prefix: bool = False,
    last_row: bool = False,
) -> Cost:
    """Count what one row costs in a training step with LoRA of some ranks.

    With T tokens, a module takes 2 T d_in d_out operations forward and, where what it reads
    depends on a trained parameter, as many back. Its adapter of rank r takes 2 T r (d_in + d_out)
    forward, as many for its factors' gradients, and 2 T r (d_in + d_out) for the way back through
    it, of which the part towards the input falls away with the module's own. Attention takes
    4 T^2 d forward and twice that back.

    Kept are: an adapted module's input, once for all modules that read it, and its r numbers a
    token; of attention the query, key, value and output; the inputs of both norms; and the
    feed-forward activations. Embeddings, norms' operations and the head are left out.

    Args:
        modules: Every linear module of the model's one stack of blocks.
        ranks: Rank by module name; modules left out have 0. Fractions are counted as such.
        tokens: Tokens of a row.
        stored_prefix: Whether the outputs of blocks before the first adapted one are stored.
        last_row: Whether the last block computes one token where it can.

    Example:
        >>> value, dense = (Module(kind, 0, kind, 8, 8) for kind in ("value", "dense"))
        >>> training_cost([value, dense], {"dense": 1}, tokens=1).backward_flops
        48.0
        >>> training_cost([value, dense], {"value": 1}, tokens=1).backward_flops  # and attention's
        240.0
    """
    adapted = [module for module in modules if ranks.get(module.name, 0)]
    last = max(module.block for module in modules)
    # Where the way back ends: the earliest block with an adapter, and the level of it there.
    first, begins = min(((m.block, _level(m)) for m in adapted), default=(last + 1, 0))
    forward = backward = kept = 0.0
    for block in range(first if stored_prefix else 0, last + 1):
        inside = [module for module in modules if module.block == block]
        trimmed = last_row and block == last
        for module in inside:
            n = 1 if trimmed and module.kind in TOKEN_BY_TOKEN else tokens
            rank = ranks.get(module.name, 0)
            weights, factors = module.d_in * module.d_out, rank * (module.d_in + module.d_out)
            forward += 2 * n * (weights + factors)
            backward += 2 * n * (factors + rank * module.d_out)  # of B and A, and B's input
            if (block, _level(module)) > (first, begins):
                backward += 2 * n * (weights + rank * module.d_in)
            kept += n * rank
        read = {_level(m): m for m in inside if ranks.get(m.name, 0)}
        kept += sum((1 if trimmed and at else tokens) * m.d_in for at, m in read.items())
        width = next((m.d_in for m in inside if _level(m) == 0), 0)
        forward += 4 * tokens**2 * width
        if (block, 1) > (first, begins):  # through attention: query, key, value and output
            backward += 8 * tokens**2 * width
            kept += tokens * 4 * width
        if (block, 3) > (first, begins):  # through the activation; a gated one keeps three
            wide = [m.d_out for m in inside if _level(m) == 2]
            wide = [w // 2 for w in wide] * 2 if _fused(inside) else wide
            kept += tokens * (3 * wide[0] if len(wide) > 1 else sum(wide))
        if block >= first:
            kept += tokens * 2 * width
    return Cost(forward, backward, BYTES * kept)


def _fused(modules: Sequence[Module]) -> bool:
    """Whether gate and up are one module, as in Phi-3."""
    return any(module.kind == "gate_up" for module in modules)


def _level(module: Module) -> int:
    return LEVELS.get(module.kind, 0)
