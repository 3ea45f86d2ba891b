"""weight_gradient and gradient_spectrum: closed forms, parity with autograd, what they leave."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from adarank.errors import InputError, RunError
from adarank.models.modules import find_modules, resolve
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.gradients import mean_gradients
from adarank.scoring.signals.objective import OWN, Batch, Objective
from adarank.scoring.signals.weight_gradient import weight_gradient
from adarank.scoring.table import summary
from tests.adarank.scoring.toys import MODULE, OBJECTIVE, Toy, toy_batch
from tests.adarank.tasks.labelled import CAUSAL, TEXT, headed, labelled, rows

CASES = [(name, False) for name in TEXT] + [(name, True) for name in CAUSAL]


def closed_form(model: Toy, batch: Batch) -> Tensor:
    """The gradient of half the mean squared error: mean over rows of (W x - y) x^T."""
    errors = batch["inputs"] @ model.weight.T - batch["labels"]
    return errors.T @ batch["inputs"] / len(errors)


def test_weight_gradient_of_a_linear_model_is_its_closed_form() -> None:
    model, batch = Toy(), toy_batch(5)
    table = weight_gradient(model, [batch], [MODULE], OBJECTIVE).table
    expected = (model.weight * closed_form(model, batch)).abs().mean()
    assert table["score"].item() == pytest.approx(float(expected), rel=1e-5)


def test_the_spectrum_of_one_row_has_one_component() -> None:
    # (W x - y) x^T is of rank one, with singular value |W x - y| |x|.
    model, batch = Toy(), toy_batch(1)
    table = gradient_spectrum(model, [batch], [MODULE], OBJECTIVE).table
    error = batch["inputs"] @ model.weight.T - batch["labels"]
    assert table["component"].tolist() == [0, 1, 2, 3]
    assert table["score"][0] == pytest.approx(
        float(error.square().sum() * batch["inputs"].square().sum()), rel=1e-5
    )
    assert table["score"][1:].max() < 1e-10 * table["score"][0]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_root_of_the_first_components_is_the_gain_of_that_rank(rank: int) -> None:
    # Against the loss itself: a step of norm e along the best change of this rank.
    model, batch = Toy().double(), {k: v.double() for k, v in toy_batch(7).items()}
    table = gradient_spectrum(model, [batch], [MODULE], OBJECTIVE, components=rank).table
    gain = np.sqrt(table["score"].sum())
    u, s, v = torch.linalg.svd(closed_form(model, batch), full_matrices=False)
    change = (u[:, :rank] * s[:rank]) @ v[:rank]
    step = 1e-5
    with torch.no_grad():
        before = OBJECTIVE.loss(model, batch)
        model.block[0].weight -= step * change / change.norm()
        gained = float(before - OBJECTIVE.loss(model, batch))
    assert gained / step == pytest.approx(gain, rel=1e-3)


@pytest.mark.parametrize(("name", "causal"), CASES)
def test_gradients_equal_one_plain_backward_over_all_rows(name: str, causal: bool) -> None:
    model = headed(name, causal=causal)
    batches = [labelled(name, seed, causal=causal) for seed in (0, 1)]
    modules = find_modules(model)
    plain = plain_gradients(model, batches, modules)
    found = mean_gradients(model, batches, [modules], OWN)
    for one, other in zip(found, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    weights = [model.get_submodule(resolve(model, m.name)).weight for m in modules]
    expected = [float((w.detach() * g).abs().mean()) for w, g in zip(weights, plain, strict=True)]
    table = weight_gradient(model, batches, modules).table
    assert table["module"].tolist() == [m.name for m in modules]
    assert np.allclose(table["score"], expected, rtol=1e-3)


def plain_gradients(model: nn.Module, batches: list, modules: list) -> list[Tensor]:
    """The mean over every labelled row or token, from the losses of the rows alone."""
    weights = [model.get_submodule(resolve(model, m.name)).weight for m in modules]
    alone = [row for batch in batches for row in rows(batch)]
    counts = [tokens(model, row["labels"]) for row in alone]
    losses = [model(**row).loss * count for row, count in zip(alone, counts, strict=True)]
    return list(torch.autograd.grad(sum(losses) / sum(counts), weights))


def tokens(model: nn.Module, labels: Tensor) -> int:
    if labels.dim() == 1:
        return 1
    return int((labels if model.config.is_encoder_decoder else labels[:, 1:]).ne(-100).sum())


@pytest.mark.parametrize(("name", "causal"), [("bert", False), ("t5", False), ("gpt2", True)])
def test_scores_do_not_depend_on_how_rows_are_dealt_into_batches(name: str, causal: bool) -> None:
    # Rows differ in their number of tokens, so a mean of the batches' means would differ.
    model, batch = headed(name, causal=causal), labelled(name, causal=causal)
    modules = find_modules(model)
    uneven = [{k: v[part] for k, v in batch.items()} for part in (slice(0, 1), slice(1, 3))]
    for signal in (weight_gradient, gradient_spectrum):
        whole, parts = (signal(model, dealt, modules).table for dealt in ([batch], uneven))
        assert np.allclose(whole["score"], parts["score"], rtol=1e-3, atol=1e-9)


def test_the_summary_of_a_spectrum_is_the_squared_norm_of_the_gradient() -> None:
    model, batches = headed("bert"), [labelled("bert")]
    modules = find_modules(model)
    table = gradient_spectrum(model, batches, modules).table
    gradients = mean_gradients(model, batches, [modules], OWN)
    sums = summary(table)["mean"].to_numpy()
    assert np.allclose(sums, [float(g.square().sum()) for g in gradients], rtol=1e-4)
    assert table.groupby("module").size().eq(32).all()


def first_block_only(model: nn.Module, batch: Batch) -> Tensor:
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return model.bert(**inputs, output_hidden_states=True).hidden_states[1].square().mean()


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum, fisher])
def test_a_module_that_does_not_reach_the_loss_scores_nothing(signal) -> None:
    model, batches = headed("bert"), [labelled("bert")]
    objective = Objective(first_block_only)
    means = summary(signal(model, batches, find_modules(model), objective).table)
    assert means[means["block"] == 0]["mean"].gt(0).all()
    assert means[means["block"] == 1]["mean"].eq(0).all()
    beyond = [m for m in find_modules(model) if m.block == 1]
    assert signal(model, batches, beyond, objective).table["score"].eq(0).all()


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum, fisher])
def test_the_model_is_left_as_it_was(signal) -> None:
    model = headed("bert")
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    own = torch.ones(3)
    model.classifier.bias.grad = own
    flags = [p.requires_grad for p in model.parameters()]
    weights = [p.detach().clone() for p in model.parameters()]
    signal(model, [labelled("bert")], find_modules(model))
    assert flags == [p.requires_grad for p in model.parameters()]
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    assert model.classifier.bias.grad is own
    assert sum(p.grad is not None for p in model.parameters()) == 1
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum, fisher])
def test_a_loss_that_is_not_finite_names_the_first_module_that_made_it_so(signal) -> None:
    model = headed("bert")
    with torch.no_grad():
        model.bert.encoder.layer[1].intermediate.dense.weight[0, 0] = float("nan")
    with pytest.raises(RunError, match=r"encoder\.layer\.1\.intermediate\.dense"):
        signal(model, [labelled("bert")], find_modules(model))


def rooted(model: nn.Module, batch: Batch) -> Tensor:
    # 0, but its slope there is infinite.
    logits = model(**batch).logits
    return (logits - logits.detach()).square().sum().sqrt()


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum, fisher])
def test_a_gradient_that_is_not_finite_names_its_module(signal) -> None:
    model = headed("bert")
    with pytest.raises(RunError, match=r"(?s)layer\.0.*self\.query.*gradient is not finite"):
        signal(model, [labelled("bert")], find_modules(model), Objective(rooted))


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum, fisher])
def test_batches_without_a_label_are_refused(signal) -> None:
    model, batch = headed("gpt2", causal=True), labelled("gpt2", causal=True)
    empty = batch | {"labels": torch.full_like(batch["labels"], -100)}
    with pytest.raises(InputError, match="nothing to learn from"):
        signal(model, [empty], find_modules(model))
    # One of several may be so: it weighs nothing.
    alone, beside = (signal(model, b, find_modules(model)).table for b in ([batch], [empty, batch]))
    if signal is not fisher:  # whose mean is over rows, those without a label included
        assert np.allclose(alone["score"], beside["score"], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("signal", [weight_gradient, gradient_spectrum])
def test_modules_whose_gradients_do_not_fit_together_take_turns_to_the_same_bits(signal) -> None:
    model, batches = headed("bert"), [labelled("bert"), labelled("bert", 1)]
    modules = find_modules(model)
    whole = signal(model, batches, modules)
    # Room for the gradients of five attention layers of 32 x 32, twice.
    tight = signal(model, batches, modules, memory_gb=5 * 2 * 4 * 32**2 / 2**30)
    assert whole.forwards == 2
    assert tight.forwards >= 6
    assert tight.table.equals(whole.table)
