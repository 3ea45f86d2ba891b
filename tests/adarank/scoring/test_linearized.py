"""The linearized estimator: closed form, small-noise limit, and what it leaves behind."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from adarank.errors import RunError
from adarank.models.modules import Module, find_modules
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import (
    Linearized,
    _weighted_trials,  # pyright: ignore[reportPrivateUsage]
    linearized,
)
from adarank.scoring.noise import Noise, draw_seed
from adarank.scoring.outputs import compared_output
from adarank.scoring.table import summary
from adarank.scoring.text_inputs import with_decoder_inputs
from bench.mixed_lengths import mixed_ratios
from tests.adarank.scoring.test_disagreement import OneLinear
from tests.architectures import CONFIGS, pico, pico_batch


def test_a_linear_model_scores_its_closed_form() -> None:
    # Every output coordinate of W x + b has ||df_j/dW|| = |x| and ||df_j/db|| = 1, so with one
    # text the score is (2 / sqrt(pi)) sqrt(s_W^2 |x|^2 + s_b^2), exactly linear.
    torch.manual_seed(0)
    model = OneLinear()
    module = Module("block.0", 0, "query", 64, 48)
    inputs = torch.randn(1, 64)
    table = linearized(model, [{"inputs": inputs}], [module], Linearized(sketches=400))
    layer = model.block[0]
    s_w, s_b = (float(t.detach().std(correction=0)) for t in (layer.weight, layer.bias))
    expected = (2 / np.sqrt(np.pi)) * np.sqrt(s_w**2 * float(inputs.square().sum()) + s_b**2)
    row = summary(table).iloc[0]
    assert abs(row["mean"] - expected) < 4 * row["standard_error"] + 0.01 * expected
    assert row["standard_error"] < 0.01 * expected


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "albert"])
def test_small_noise_gives_the_exact_estimator_s_scores(name: str) -> None:
    model, batches = pico(name), [pico_batch(name)]
    modules, noise = find_modules(model), Noise(0.003)
    exact_table = exact(model, batches, modules, Exact(trials=12, noise=noise)).table
    table = linearized(model, batches, modules, Linearized(sketches=60, noise=noise))
    found, wanted = (summary(t)["mean"].to_numpy() for t in (table, exact_table))
    # The root of a mean of squares exceeds the mean of absolute values when coordinates differ.
    assert np.all(found > 0.9 * wanted)
    assert np.abs(found / found.sum() - wanted / wanted.sum()).sum() / 2 < 0.05
    assert spearmanr(found, wanted)[0] > 0.9


@pytest.mark.parametrize("name", CONFIGS)
def test_norms_equal_a_plain_gradient(name: str) -> None:
    # The same sketch by torch.autograd.grad on whole gradients, for one text. In float64: in
    # float32 two backwards of T5 differ by 2e-5 of themselves.
    model = pico(name).double()
    batch = _texts_of(pico_batch(name), slice(0, 1))
    batch = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}
    modules = find_modules(model)
    table = linearized(model, [batch], modules, Linearized(seed=3))
    plain = _plain_squares(model, batch, modules, [slice(None)])
    assert np.allclose(table["score"], _scores(model, batch, plain), rtol=1e-5)


@pytest.mark.parametrize("tokens", [5, 60])
@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "t5", "albert"])
def test_norms_of_several_texts_are_added_up(name: str, tokens: int) -> None:
    # Both by Gram matrices and, with many tokens, by gradients; the second text is padded.
    model = pico(name).double()
    ids = torch.randint(3, 30, (3, tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, tokens // 2 :] = 0
    batch = with_decoder_inputs(model, {"input_ids": ids, "attention_mask": mask})
    modules = find_modules(model)
    table = linearized(model, [batch], modules, Linearized(seed=3))
    plain = _plain_squares(model, batch, modules, [slice(i, i + 1) for i in range(3)])
    assert np.allclose(table["score"], _scores(model, batch, plain), rtol=1e-5)


def _texts_of(batch: dict, rows: slice) -> dict:
    return {key: values[rows] for key, values in batch.items()}


def _plain_squares(
    model: torch.nn.Module, batch: dict, modules: list, parts: list[slice]
) -> np.ndarray:
    """Square the weights' gradients part by part of the pooled rows, the biases' as a whole."""
    values = compared_output(model, batch, "pooled")
    generator = torch.Generator().manual_seed(draw_seed(3, "sketch 0", 0))
    projected = values * torch.randn(values.shape, generator=generator)
    squares = np.zeros(len(modules))
    for row, module in enumerate(modules):
        layer = model.get_submodule(module.name)
        for parameter, over in ((layer.weight, parts), (layer.bias, [slice(None)])):
            for part in over if parameter is not None else []:
                (gradient,) = torch.autograd.grad(
                    projected[part].sum(), parameter, retain_graph=True
                )
                deviation = parameter.detach().std(correction=0)
                squares[row] += float((deviation * gradient).double().square().sum())
    return squares


def _scores(model: torch.nn.Module, batch: dict, squares: np.ndarray) -> np.ndarray:
    return 2 / np.sqrt(np.pi) * np.sqrt(squares / compared_output(model, batch, "pooled").numel())


class Elsewhere(OneLinear):
    """Uses its weight once more, outside of the layer."""

    def forward(self, inputs: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        layer = self.block[0]
        return {"pooler_output": layer(inputs) + inputs @ layer.weight.T}


def test_a_weight_used_outside_of_its_layer_has_its_whole_gradient() -> None:
    torch.manual_seed(0)
    module, batch = Module("block.0", 0, "query", 64, 48), {"inputs": torch.randn(1, 64)}
    settings = Linearized(noise=Noise(bias=False))
    once, twice = OneLinear(), Elsewhere()
    twice.load_state_dict(once.state_dict())
    found, wanted = (linearized(model, [batch], [module], settings) for model in (twice, once))
    assert found["score"].item() == pytest.approx(2 * wanted["score"].item(), rel=1e-5)


def test_no_gradient_is_left_and_flags_are_as_before() -> None:
    model = pico("bert")
    model.embeddings.word_embeddings.weight.requires_grad_(False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    linearized(model, [pico_batch("bert")], find_modules(model), Linearized())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert flags == [parameter.requires_grad for parameter in model.parameters()]
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_gradients_are_freed_one_by_one() -> None:
    model = pico("bert")
    held: list[int] = []

    def count(_: torch.Tensor) -> None:
        held.append(sum(p.grad is not None for p in model.parameters()))

    for module in find_modules(model):
        model.get_submodule(module.name).weight.register_post_accumulate_grad_hook(count)
    linearized(model, [pico_batch("bert")], find_modules(model), Linearized())
    # One weight being counted, and at most one bias whose turn has not come.
    assert max(held) <= 2


def test_every_batch_of_every_sketch_is_a_trial() -> None:
    model = pico("bert")
    batches = [pico_batch("bert"), pico_batch("bert", seed=1)]
    modules = find_modules(model)
    table = linearized(model, batches, modules, Linearized(sketches=3))
    assert table["trial"].tolist() == list(range(6)) * len(modules)
    assert table.groupby("module")["score"].nunique().eq(6).all()


def test_a_gradient_that_is_not_finite_names_the_module() -> None:
    model = pico("bert")
    with torch.no_grad():
        model.encoder.layer[1].output.LayerNorm.weight.fill_(float("inf"))
    with pytest.raises(RunError, match="not finite"):
        linearized(model, [pico_batch("bert")], find_modules(model), Linearized())


def test_rows_weigh_alike_whatever_their_batch() -> None:
    # On a linear model each batch gives a root mean square; their mean is weighted by rows.
    torch.manual_seed(0)
    model, module = OneLinear(), Module("block.0", 0, "query", 64, 48)
    few, many = torch.randn(1, 64), 5 * torch.randn(9, 64)
    batches = [{"inputs": few}, {"inputs": many}]
    settings = Linearized(sketches=300, noise=Noise(bias=False))
    table = linearized(model, batches, [module], settings)
    s_w = float(model.block[0].weight.detach().std(correction=0))
    roots = [float(x.square().sum(1).mean().sqrt()) for x in (few, many)]
    expected = (2 / np.sqrt(np.pi)) * s_w * (roots[0] + 9 * roots[1]) / 10
    assert summary(table)["mean"].item() == pytest.approx(expected, rel=0.02)
    assert len(table) == 600


def test_weighted_trials_are_the_values_for_equal_batches_and_keep_the_mean() -> None:
    values = np.array([[1.0, 4.0], [3.0, 2.0]])
    assert np.allclose(_weighted_trials(np.array([7.0, 7.0]), values), values)
    trials = _weighted_trials(np.array([1.0, 9.0]), values)
    assert np.allclose(trials.mean(axis=0), np.array([1.0, 9.0]) @ values / 10)


def test_on_tokens_of_mixed_lengths_it_agrees_with_exact_across_modules() -> None:
    model = pico("llama")
    ratios = mixed_ratios(model, find_modules(model), trials=6, sketches=10, lengths=(3, 48))
    # It is 1.3 where batches weigh alike.
    assert ratios.highest / ratios.lowest < 1.2
