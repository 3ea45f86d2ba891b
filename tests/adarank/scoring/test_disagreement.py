"""The plain double loop, against closed forms and against itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from adarank.errors import RunError
from adarank.models.modules import Module, find_modules
from adarank.scoring.estimators.disagreement import disagreement
from adarank.scoring.noise import Noise, disturbed, draw, global_deviation
from adarank.scoring.table import summary
from tests.architectures import pico, pico_batch


class OneLinear(nn.Module):
    """f(x) = W x + b, with the outputs of a transformers model."""

    def __init__(self, d_in: int = 64, d_out: int = 48) -> None:
        super().__init__()
        self.block = nn.ModuleList([nn.Linear(d_in, d_out)])
        self.config = SimpleNamespace(model_type="bert", is_encoder_decoder=False)

    def forward(self, inputs: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        return {"pooler_output": self.block[0](inputs)}


def _linear(d_in: int = 64, d_out: int = 48) -> tuple[OneLinear, Module]:
    torch.manual_seed(0)
    return OneLinear(d_in, d_out), Module("block.0", 0, "query", d_in, d_out)


def test_a_linear_model_scores_its_closed_form() -> None:
    # f(W + e1) - f(W + e2) = (e1 - e2) x + (b1 - b2) is N(0, 2 (s_W^2 |x|^2 + s_b^2)) at every
    # output coordinate, whose mean absolute value is (2 / sqrt(pi)) sqrt(s_W^2 |x|^2 + s_b^2).
    model, module = _linear()
    inputs = torch.randn(16, 64)
    table = disagreement(model, [{"inputs": inputs}], [module], trials=40)
    layer = model.block[0]
    s_w, s_b = (float(t.detach().std(correction=0)) for t in (layer.weight, layer.bias))
    squares = inputs.square().sum(-1)
    expected = float((2 / np.sqrt(np.pi)) * (s_w**2 * squares + s_b**2).sqrt().mean())
    row = summary(table).iloc[0]
    assert abs(row["mean"] - expected) < 4 * row["standard_error"]
    assert row["standard_error"] < 0.02 * expected


def test_noise_without_bias_leaves_the_bias_out() -> None:
    model, module = _linear()
    zeros = torch.zeros(2, 64)
    silent = disagreement(model, [{"inputs": zeros}], [module], noise=Noise(bias=False))
    heard = disagreement(model, [{"inputs": zeros}], [module], noise=Noise(bias=True))
    assert (silent["score"] == 0).all()
    assert (heard["score"] > 0).all()


def test_any_trial_is_recomputed_alone_and_in_any_order() -> None:
    model = pico("bert")
    batches = [pico_batch("bert")]
    modules = find_modules(model)
    together = disagreement(model, batches, modules, trials=3, seed=5)
    alone = disagreement(model, batches, [modules[7]], trials=3, seed=5)
    backwards = disagreement(model, batches, modules[::-1], trials=3, seed=5)
    assert alone["score"].tolist() == together.query("module == @modules[7].name").score.tolist()
    merged = together.merge(backwards, on=["module", "trial"])
    assert (merged["score_x"] == merged["score_y"]).all()
    assert together["trial"].tolist() == [0, 1, 2] * len(modules)


def test_another_seed_draws_other_noise() -> None:
    model, module = _linear()
    tables = [
        disagreement(model, [{"inputs": torch.ones(1, 64)}], [module], seed=s) for s in (0, 1)
    ]
    assert not set(tables[0]["score"]) & set(tables[1]["score"])


def test_every_weight_is_restored_bit_for_bit() -> None:
    model = pico("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    disagreement(model, [pico_batch("bert")], find_modules(model), trials=1)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_weight_changed_by_the_body_is_noticed() -> None:
    model, _ = _linear()
    layer = model.block[0]
    kept = layer.weight.data
    noise = draw(layer, Noise(), seed=0, name="block.0", index=0)
    with pytest.raises(RunError, match="not restored"), disturbed(layer, noise, "block.0"):
        kept.add_(1)


def test_the_weight_is_restored_when_the_body_fails() -> None:
    model, _ = _linear()
    layer = model.block[0]
    before = layer.weight.detach().clone()
    with (
        pytest.raises(KeyError),
        disturbed(layer, draw(layer, Noise(), seed=0, name="x", index=0), "x"),
    ):
        raise KeyError("forward failed")
    assert torch.equal(layer.weight, before)


def test_noise_has_the_weight_s_own_deviation() -> None:
    layer = nn.Linear(300, 200)
    with torch.no_grad():
        layer.weight.mul_(7)
    weight_deviation = layer.weight.std(correction=0).item()
    relative = draw(layer, Noise(0.5), seed=0, name="a", index=0)
    absolute = draw(layer, Noise(0.02, "absolute"), seed=0, name="a", index=0)
    assert relative.weight.std().item() == pytest.approx(0.5 * weight_deviation, rel=0.02)
    assert absolute.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert absolute.bias is not None and absolute.bias.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_global_deviation_is_that_of_all_entries_together() -> None:
    layers = [nn.Linear(20, 30), nn.Linear(50, 10)]
    entries = torch.cat([layer.weight.detach().flatten() for layer in layers])
    assert global_deviation(layers) == pytest.approx(entries.std(correction=0).item(), rel=1e-6)


def test_an_output_that_is_not_finite_names_the_module() -> None:
    model, module = _linear()
    with pytest.raises(RunError, match=r"block\.0.*\n.*\n.*\n.*smaller noise"):
        disagreement(model, [{"inputs": torch.full((1, 64), torch.inf)}], [module])


def test_padding_does_not_change_a_score() -> None:
    model = pico("bert")
    batch = pico_batch("bert")
    rows = [
        {
            key: value[row : row + 1, : int(batch["attention_mask"][row].sum())]
            for key, value in batch.items()
        }
        for row in range(3)
    ]
    modules = find_modules(model)[:4]
    for output in ("pooled", "last_hidden"):
        padded = disagreement(model, [batch], modules, trials=2, output=output)
        apart = disagreement(model, rows, modules, trials=2, output=output)
        assert np.allclose(padded["score"], apart["score"], rtol=1e-5)
