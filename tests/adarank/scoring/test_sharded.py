"""A model whose parts accelerate has placed, with hooks that move what they are given."""

from typing import Any

import numpy as np
import pytest
from accelerate.hooks import attach_align_device_hook_on_blocks

from adarank.models.modules import find_modules
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from tests.architectures import pico, pico_batch


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_scores_are_those_of_the_model_in_one_piece(name: str) -> None:
    model, batch = pico(name), pico_batch(name)
    modules = find_modules(model)
    # Devices that differ cannot be had here; the hooks are those that several GPUs get.
    placed: Any = pico(name)
    places = {child: "cpu" for child, _ in placed.named_children()}
    attach_align_device_hook_on_blocks(placed, execution_device=places, offload=False)
    assert any(hasattr(part, "_hf_hook") for part in placed.modules())
    whole, found = (exact(m, [batch], modules, Exact(trials=2)) for m in (model, placed))
    assert found.engine == whole.engine
    assert np.array_equal(found.table["score"], whole.table["score"])
    # Layers with hooks have their gradients made whole: another draw of the same estimate.
    means = [
        np.mean(
            [linearized(m, [batch], modules, Linearized(seed=s))["score"] for s in range(30)], 0
        )
        for m in (model, placed)
    ]
    assert np.allclose(*means, rtol=0.1)
