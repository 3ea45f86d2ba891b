"""The average of weights over steps: its closed form, its control, and runs that go on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from adarank.allocation.growth import SQUEEZED
from adarank.tuning.loop.averaging import Averaging
from adarank.tuning.loop.training import train
from adarank.tuning.tuners.base import During
from adarank.tuning.tuners.registry import TUNERS
from tests.adarank.tuning import test_growing as growing
from tests.adarank.tuning.test_ratios import weights
from tests.adarank.tuning.test_resuming import Memory, assert_same, pieced, run
from tests.adarank.tuning.test_training import SETTINGS, TASK, TRAIN, VALIDATION, built, measured
from tests.adarank.tuning.test_tuners import plan_of

DECAY = 0.7


def plain(history: list[Tensor], decay: float) -> Tensor:
    """The average by its definition."""
    shares = [decay ** (len(history) - 1 - i) for i in range(len(history))]
    return sum((s * w for s, w in zip(shares, history, strict=True)), 0 * history[0]) / sum(shares)


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_it_is_the_weighted_mean_of_the_weights_after_every_step(decay: float) -> None:
    model, averaging = nn.Linear(3, 2).double(), Averaging(decay)
    model.bias.requires_grad_(False)
    history: list[Tensor] = []
    for seed in range(5):
        model.weight.data.copy_(torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)))
        averaging.add(model)
        history.append(model.weight.detach().clone())
        with averaging.in_place(model):
            assert_close(model.weight.detach(), plain(history, decay))
        assert torch.equal(model.weight, history[-1])
    assert list(averaging.state().tensors) == ["weight"], "what is not trained is not averaged"


def trained(folder: Path, ema: float | None, **changed: Any) -> tuple[Any, Any, list[Any]]:
    """A run, its model as it is left, and the weights after every step."""
    model, history = built(folder), list[Any]()
    during = During(change=lambda *_: bool(history.append(weights(model))))
    settings = replace(SETTINGS, ema=ema, **changed)
    return train(model, TASK, TRAIN, VALIDATION, settings, 0, during=during), model, history


def test_the_average_is_kept_and_the_curve_has_its_control(pico_model: Path) -> None:
    without, _, history = trained(pico_model, None)
    with_it, model, same = trained(pico_model, DECAY)
    last = with_it.best_step
    for name, value in weights(model).items():
        assert_close(value, plain([w[name] for w in same[:last]], DECAY), rtol=1e-4, atol=1e-6)
    assert measured(model)["loss"] == with_it.validation["loss"]
    assert all(torch.equal(w[n], h[n]) for w, h in zip(same, history, strict=True) for n in w), (
        "training itself goes on from the weights as they are"
    )
    control = with_it.curve["unaveraged_loss"].tolist()
    assert control == pytest.approx(without.curve["validation_loss"].tolist(), nan_ok=True, abs=0)
    assert with_it.curve["validation_loss"].tolist() != control
    assert with_it.curve["train_loss"].equals(without.curve["train_loss"])


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_run_cut_short_goes_on_with_its_average(pico_model: Path, kind: str) -> None:
    whole = run(pico_model, kind, None, ema=DECAY)
    assert_same(pieced(pico_model, kind, Memory(2, 5, 9), ema=DECAY), whole)


@pytest.mark.parametrize("tuner", ["adalora", "growing"])
def test_only_weights_of_the_last_ranks_are_averaged(pico_model: Path, tuner: Any) -> None:
    plan = (
        growing.plan_of(pico_model, SQUEEZED) if tuner == "growing" else plan_of(pico_model, tuner)
    )
    whole = run(pico_model, plan, None, ema=DECAY)
    assert_same(pieced(pico_model, plan, Memory(4, 8), ema=DECAY), whole)
    TUNERS[tuner].verify(whole[3], plan, ("classifier",))
