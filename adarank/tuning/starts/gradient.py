"""Along the gradient: A's rows are the leading right singular vectors of the mean task gradient.

Let G = sum_i s_i u_i v_i^T be the gradient of the mean loss by W, and A = c V_r^T. With B = 0, the
gradient of the loss by B is scale * G A^T = scale * c * U_r S_r. So one step of gradient descent of
rate e changes W by -e (scale c)^2 sum_(i <= r) s_i u_i v_i^T: the best approximation of rank r to
full fine-tuning's first step (Eckart and Young 1936). LoRA-GA (Wang et al. 2024, arXiv 2407.05000)
and LoRA-One (Zhang et al. 2025, arXiv 2502.01235) begin B along the gradient, too; here B = 0, so
the base is untouched and the adapter plain. The directions are those of
`adarank.scoring.signals.gradient_directions`, of norm ROW_NORM each.
"""

from torch import Tensor

from adarank.tuning.starts.base import ROW_NORM, Given


def rows(given: Given) -> Tensor:
    """Take the leading right singular vectors of the module's mean gradient."""
    assert given.directions is not None
    return ROW_NORM * given.directions[: given.rank].float()
