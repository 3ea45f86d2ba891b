"""What scoring holds does not grow with the number of modules, and bounds change no score."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModel

from adarank.models.modules import find_modules
from adarank.scoring.engines.recording import tensors_in
from adarank.scoring.engines.replay import Replay
from adarank.scoring.estimators.disagreement import disagreement
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.published import AsPublished, as_published
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.input_directions import input_directions
from adarank.scoring.signals.moments import moments_of
from bench.peak import peak_bytes
from tests.adarank.tasks.labelled import headed, labelled
from tests.architectures import CONFIGS, pico, pico_batch

DEPTHS = (
    "num_hidden_layers",
    "n_layers",
    "n_layer",
    "num_layers",
    "num_decoder_layers",
    "encoder_layers",
    "decoder_layers",
)


def deep(name: str, blocks: int) -> Any:
    """Make a pico model of another depth."""
    torch.manual_seed(0)
    config = CONFIGS[name]()
    for depth in DEPTHS:
        if depth in config.to_dict():
            setattr(config, depth, blocks)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[0]] * blocks
    return AutoModel.from_config(config).eval()


@pytest.mark.parametrize("name", ["bert", "distilbert", "t5", "gpt2", "llama", "deberta-v2"])
def test_blocks_before_answer_with_the_last_one_s_output(name: str) -> None:
    model, batch = deep(name, 4), pico_batch(name)
    modules = find_modules(model)
    assert len({module.block for module in modules}) >= 4
    settings = Exact(trials=1, output="last_hidden", pairs="disjoint")
    fast = exact(model, [batch], modules, settings)
    plain = disagreement(model, [batch], modules, trials=1, output="last_hidden")
    assert fast.engine.startswith("replay")
    assert np.allclose(fast.table["score"], plain["score"], rtol=1e-5, atol=0)


def held(model: nn.Module, name: str) -> int:
    """Count the bytes that replay holds at a model's last block."""
    modules = find_modules(model)
    engine = Replay(model, pico_batch(name), "last_hidden", trim=False)
    last = max(module.block for module in modules)
    for block in range(last + 1):
        engine.enter([module for module in modules if module.block == block])
    tensors = tensors_in(list(engine._kept.values()))
    return sum(
        {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()
    )


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_what_replay_holds_does_not_grow_with_depth(name: str) -> None:
    assert held(deep(name, 6), name) == held(deep(name, 3), name)


class Averaging(nn.Module):
    """A model whose output reads every block's: none may answer with another's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = deep("bert", 4)
        self.config = self.inner.config

    def forward(self, **batch: Any) -> Any:
        states = self.inner(**batch, output_hidden_states=True).hidden_states
        return {"last_hidden_state": torch.stack(states).mean(0)}


def test_a_model_that_reads_every_block_gets_full_forwards() -> None:
    model, batch = Averaging(), pico_batch("bert")
    modules = find_modules(model)
    found = exact(model, [batch], modules, Exact(trials=1, output="last_hidden", pairs="disjoint"))
    plain = disagreement(model, [batch], modules, trials=1, output="last_hidden")
    assert found.engine == "full forwards"
    assert np.allclose(found.table["score"], plain["score"], rtol=1e-5, atol=0)


def test_published_copies_beyond_the_bound_wait_in_files() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules = find_modules(model)
    whole = as_published(model, [batch], modules, AsPublished(trials=1))
    # Room for three of the weights.
    tight = as_published(model, [batch], modules, AsPublished(trials=1, memory_gb=13000 / 2**30))
    assert tight.equals(whole)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_single_rows_hold_one_gradient_at_a_time() -> None:
    # DeBERTa's rows have a backward each, and its gradients are most of what one makes.
    model = headed("deberta-v2")
    batch = {k: v[:1, :3] if v.dim() == 2 else v[:1] for k, v in labelled("deberta-v2").items()}
    modules = find_modules(model)
    gradients = 4 * sum(module.d_in * module.d_out for module in modules)
    activations = peak_bytes(model, lambda: model(**batch).loss)
    assert peak_bytes(model, lambda: fisher(model, [batch], modules)) < activations + gradients / 2


def test_inputs_in_turns_have_the_same_directions() -> None:
    model, batches = headed("bert"), [labelled("bert"), labelled("bert", 1)]
    modules = find_modules(model)
    whole = input_directions(model, batches, modules, components=2)
    tight = input_directions(model, batches, modules, components=2, memory_gb=5e-5)
    assert tight.forwards > whole.forwards
    assert tight.table["score"].equals(whole.table["score"])
    pairs = zip(tight.table["direction"], whole.table["direction"], strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_moments_are_computed_where_the_inputs_are() -> None:
    basis = torch.linalg.qr(torch.randn(6, 2).double()).Q
    with FakeTensorMode(allow_non_fake_inputs=True):
        tokens = torch.empty(5, 6, dtype=torch.float64, device="cuda")
        moments = moments_of(tokens, basis)
        assert moments.next_basis().device.type == "cuda"
