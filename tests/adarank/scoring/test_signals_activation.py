"""Activation variance: parity with plain covariances and PEFT's own, padding, shared inputs."""

import numpy as np
import pytest
import torch
from peft.utils.incremental_pca import IncrementalPCA
from torch import Tensor, nn

from adarank.errors import RunError
from adarank.models.modules import Module, find_modules, resolve
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.moments import gather_moments
from adarank.scoring.signals.objective import OWN, Batch
from tests.adarank.scoring.toys import MODULE, OBJECTIVE, Toy, toy_batch
from tests.adarank.tasks.labelled import TEXT, headed, labelled, rows


def test_known_variances_come_out() -> None:
    # Along the axes, of variances 9, 4 and 1 and far from the origin: means are taken off.
    signs = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]).float()
    inputs = torch.zeros(8, 6)
    inputs[:, :3] = signs * torch.tensor([2.0, 3.0, 1.0]) + 100
    batch = {"inputs": inputs, "labels": torch.zeros(8, 4)}
    table = activation_variance(Toy(), [batch], [MODULE], OBJECTIVE, components=4).table
    assert table["score"].tolist() == pytest.approx([9 / 14, 4 / 14, 1 / 14, 0.0], abs=1e-9)


def unpadded(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    found = []
    for row in rows(batch):
        length = int(row["attention_mask"].sum())
        cut = {k: v[:, :length] for k, v in row.items() if k in ("input_ids", "attention_mask")}
        labels = row["labels"]
        found.append(
            cut | {"labels": labels if labels.dim() == 1 else labels[labels != -100][None]}
        )
    return found


def inputs_of(model: nn.Module, name: str, batches: list) -> Tensor:
    seen: list[Tensor] = []
    layer = model.get_submodule(resolve(model, name))
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(0, -2)))
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    hook.remove()
    return torch.cat(seen).double()


# DeBERTa's relative positions are cut to the batch's longest row, so padding moves them.
@pytest.mark.parametrize("name", [name for name in TEXT if name != "deberta-v2"])
def test_ratios_are_those_of_the_rows_without_padding(name: str) -> None:
    model, batches = headed(name), [labelled(name), labelled(name, 1)]
    if name in ("t5", "bart"):
        # As many places to read as to write, and padding elsewhere: one mask for both is wrong.
        for batch in batches:
            batch["labels"] = nn.functional.pad(batch["labels"], (0, 4), value=-100)
            batch["labels"][2] = 7
    modules = find_modules(model)
    table = activation_variance(model, batches, modules).table
    alone = [row for batch in batches for row in unpadded(batch)]
    for module in modules:
        values = inputs_of(model, module.name, alone)
        covariance = np.cov(values.numpy(), rowvar=False)
        expected = np.linalg.eigvalsh(covariance)[::-1] / np.trace(covariance)
        found = table[table["module"] == module.name]["score"]
        assert np.allclose(found, expected[:64], atol=1e-5), module.name


def test_ratios_equal_peft_s() -> None:
    model = headed("llama")
    batches = [
        {k: v[:, :4] for k, v in labelled("llama", seed).items() if v.dim() == 2}
        for seed in range(12)
    ]
    labels = {"labels": torch.tensor([0, 1, 2])}
    batches = [batch | labels for batch in batches]
    modules = find_modules(model)
    table = activation_variance(model, batches, modules).table
    for module in modules[:7]:
        theirs = IncrementalPCA(n_components=8)
        for pair in range(0, 12, 4):
            theirs.partial_fit(inputs_of(model, module.name, batches[pair : pair + 4]).float())
        found = table[table["module"] == module.name]["score"][:3]
        # Theirs forgets, from batch to batch, what is beyond the components kept.
        assert np.allclose(found, theirs.explained_variance_ratio_[:3], rtol=0.1), module.name


@pytest.mark.parametrize(("name", "inputs"), [("bert", 4), ("llama", 4), ("gpt-neox", 4)])
def test_layers_that_share_their_input_are_gathered_once(name: str, inputs: int) -> None:
    model = headed(name)
    modules = find_modules(model)
    shared = gather_moments(model, [labelled(name), labelled(name, 1)], modules, OWN)
    assert sorted(index for group in shared for index in group) == list(range(len(modules)))
    assert len(shared) == 2 * inputs


def test_scores_do_not_depend_on_how_rows_are_dealt_into_batches() -> None:
    model, batch = headed("bert"), labelled("bert")
    modules = find_modules(model)
    whole = activation_variance(model, [batch], modules).table
    parts = activation_variance(model, rows(batch), modules).table
    assert np.allclose(whole["score"], parts["score"], atol=1e-6)


def test_inputs_that_never_vary_score_nothing() -> None:
    batch = toy_batch(1)
    table = activation_variance(Toy(), [batch, batch], [MODULE], OBJECTIVE).table
    assert table["score"].max() < 1e-9
    never = activation_variance(Toy(lambda _, x: x[..., :4]), [batch], [MODULE], OBJECTIVE).table
    assert never["score"].eq(0).all() and len(never) == 6


def test_an_input_that_is_not_finite_names_its_module() -> None:
    model = headed("bert")
    with torch.no_grad():
        model.bert.embeddings.LayerNorm.weight[0] = float("inf")
    with pytest.raises(RunError, match=r"(?s)layer\.0.*query.*input is not finite"):
        activation_variance(model, [labelled("bert")], find_modules(model))


def test_the_model_is_left_without_hooks() -> None:
    model = headed("bert")
    activation_variance(model, [labelled("bert")], find_modules(model))
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_modules_that_do_not_fit_together_take_turns_to_the_same_scores() -> None:
    model, batches = headed("bert"), [labelled("bert"), labelled("bert", 1)]
    modules = find_modules(model)
    whole = activation_variance(model, batches, modules)
    tight = activation_variance(model, batches, modules, memory_gb=5 * 2 * 8 * 32**2 / 2**30)
    assert whole.forwards == 2
    assert tight.forwards >= 6
    assert tight.table.equals(whole.table)


class Wide(nn.Module):
    """One layer of 200 inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ModuleList([nn.Linear(200, 4, bias=False)])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.block[0](inputs)


WIDE = Module("block.0", 0, "query", 200, 4)


def wide_batches(spread: Tensor, offset: float = 3.0) -> list[Batch]:
    """Inputs whose standard deviations are given, along random directions, far from the origin."""
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(200, 200, generator=generator)).Q
    values = torch.randn(600, 200, generator=generator) * spread @ turned + offset
    return [{"inputs": part, "labels": torch.zeros(len(part), 4)} for part in values.split(150)]


@pytest.mark.parametrize(("power", "close"), [(1.0, 1e-3), (0.5, 2e-2)])
def test_the_leading_variances_of_wide_inputs_are_those_of_all(power: float, close: float) -> None:
    batches = wide_batches(torch.arange(1, 201) ** -power)
    # 200 inputs are over 8 * 4 * 4, so 16 directions are followed through three passes.
    scores = activation_variance(Wide(), batches, [WIDE], OBJECTIVE, components=4)
    values = torch.cat([batch["inputs"] for batch in batches]).double()
    expected = np.linalg.eigvalsh(np.cov(values.numpy(), rowvar=False))[::-1]
    found = scores.table["score"].to_numpy()
    assert scores.forwards == 3 * 4
    assert np.allclose(found, expected[:4] / expected.sum(), rtol=close)
    assert np.all(found <= expected[:4] / expected.sum() * (1 + 1e-9))
    again = activation_variance(Wide(), batches, [WIDE], OBJECTIVE, components=4)
    assert again.table.equals(scores.table)


def test_wide_inputs_that_never_vary_score_nothing() -> None:
    batches = wide_batches(torch.zeros(200))
    table = activation_variance(Wide(), batches, [WIDE], OBJECTIVE, components=4).table
    assert len(table) == 4 and table["score"].max() < 1e-6
    narrow = wide_batches(torch.eye(200)[0])
    table = activation_variance(Wide(), narrow, [WIDE], OBJECTIVE, components=4).table
    assert table["score"][0] == pytest.approx(1) and table["score"][1:].max() < 1e-6
