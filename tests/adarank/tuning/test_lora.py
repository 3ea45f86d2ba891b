"""Adapters: built with the plan's ranks, read back from the layers, saved and read back again."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertConfig

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError, RunError
from adarank.tasks.base import Headed, Task
from adarank.tasks.registry import make_task
from adarank.tuning.lora import attach, head_parameters, read_ranks, verify
from adarank.tuning.saving import load_adapter, save_adapter, verify_saved
from adarank.tuning.tuners.lora import Lora
from tests.pico import pico_bert_config, pico_tokenizer, save_pico_model
from tests.plans import make_plan, plan_json, uneven

HEAD = ("classifier",)


def task() -> Task:
    description = {"type": "classification", "labels": ["who", "what", "where"]}
    return make_task(description, pico_tokenizer(), 32)


def built(folder: Path, plan: RankPlan, seed: int = 0) -> PeftModel:
    headed = task().build(folder, seed)
    return attach(headed, plan, peft_type="SEQ_CLS", dropout=0.0, seed=seed)


def shaken(model: PeftModel) -> PeftModel:
    """The model with every trainable weight moved, as training would."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator)
    return model


def by_hand(folder: Path, **config: Any) -> PeftModel:
    """An adapter configured without the plan."""
    model = task().build(folder, 0).model
    return get_peft_model(model, LoraConfig(modules_to_save=list(HEAD), **config))


def test_built_ranks_scales_and_parameters_are_the_plans(pico_model: Path):
    plan = make_plan(pico_model, uneven, ratio=2.0)
    model = built(pico_model, plan)
    ranks = read_ranks(model)
    expected = {module.name: module.rank for module in plan.modules if module.rank}
    assert {name: one.rank for name, one in ranks.items()} == expected
    assert {one.scale for one in ranks.values()} == {2.0}
    assert len(ranks) == 10 and not any("key" in name for name in ranks)
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    lora = sum(n for name, n in trainable.items() if "lora_" in name)
    assert lora == plan.parameters == sum(one.parameters for one in ranks.values())
    assert sum(trainable.values()) - lora == 32 * 3 + 3 == sum(head_parameters(model).values())
    assert not any("pooler" in name for name in trainable)


def test_a_fresh_adapter_changes_nothing(pico_model: Path):
    batch = pico_tokenizer()(["who is the king"], return_tensors="pt")
    plain = task().build(pico_model, 0).model.eval()
    adapted = built(pico_model, make_plan(pico_model, uneven)).eval()
    with torch.no_grad():
        assert torch.equal(adapted(**batch).logits, plain(**batch).logits)


@pytest.mark.parametrize(
    ("config", "named", "told"),
    [
        # No pattern reaches the layers, so each silently has the default rank.
        ({"rank_pattern": {"^encoder": 2}}, 12, "rank 8, scale 1,"),
        # The first of two patterns that both match wins: `output.dense` is two layers a block.
        ({"rank_pattern": {"output.dense": 4, ".*": 2}, "alpha_pattern": {".*": 4}}, 4, "rank 4"),
        # The right ranks under one alpha for all: the scales go astray.
        ({"rank_pattern": {".*": 2}}, 12, "rank 2, scale 4,"),
        # A module left out.
        ({"exclude_modules": ".*0.*key"}, 12, "no adapter"),
    ],
)
def test_what_differs_from_the_plan_is_named(
    pico_model: Path, config: dict[str, Any], named: int, told: str
):
    plan = make_plan(pico_model, lambda _: 2, ratio=2.0)
    targets = r"bert\.encoder\..*(query|key|value|dense)"
    model = by_hand(pico_model, target_modules=targets, **config)
    with pytest.raises(RunError) as caught:
        verify(model, plan, HEAD)
    problems = caught.value.problems
    assert len(problems) == named
    assert {problem.where for problem in problems} <= {module.name for module in plan.modules}
    assert told in str(caught.value)
    assert all("rank 2, scale 2," in problem.expected for problem in problems)


def test_a_module_beside_the_plan_is_named(pico_model: Path):
    model = built(pico_model, make_plan(pico_model, lambda _: 2))
    fewer = make_plan(pico_model, lambda module: 0 if module.kind == "key" else 2)
    with pytest.raises(RunError, match="expected: no adapter") as caught:
        verify(model, fewer, HEAD)
    assert len(caught.value.problems) == 2


def test_a_head_that_is_not_trained_is_told(pico_model: Path):
    plan = make_plan(pico_model, lambda _: 2)
    with pytest.raises(RunError, match="trained whole"):
        verify(built(pico_model, plan), plan, ("bert.pooler", "classifier"))


def test_names_that_are_parts_of_other_names_keep_their_own_ranks(tmp_path: Path):
    config = BertConfig(**pico_bert_config().to_diff_dict() | {"num_hidden_layers": 12})
    save_pico_model(tmp_path, config)
    plan = make_plan(tmp_path, lambda module: 1 + module.block)
    # encoder.layer.1 is the beginning of encoder.layer.10 and encoder.layer.11.
    ranks = read_ranks(built(tmp_path, plan))
    assert ranks["encoder.layer.1.attention.self.query"].rank == 2
    assert ranks["encoder.layer.11.attention.self.query"].rank == 12
    assert len(ranks) == 72


def test_seeds_pair_plans(pico_model: Path):
    small = built(pico_model, make_plan(pico_model, lambda _: 2), seed=3)
    large = built(pico_model, make_plan(pico_model, uneven), seed=3)
    other = built(pico_model, make_plan(pico_model, lambda _: 2), seed=4)
    value = "base_model.model.bert.encoder.layer.1.attention.self.value.lora_A.default.weight"
    head = "base_model.model.classifier.modules_to_save.default.weight"
    assert torch.equal(small.get_parameter(value), large.get_parameter(value)[:2])
    assert torch.equal(small.get_parameter(head), large.get_parameter(head))
    for name in (value, head):
        assert not torch.equal(small.get_parameter(name), other.get_parameter(name))
    query = value.replace("value", "query")
    assert not torch.equal(small.get_parameter(value), small.get_parameter(query))


def test_saved_adapter_is_stock_peft(pico_model: Path, tmp_path: Path):
    plan = make_plan(pico_model, uneven)
    model = shaken(built(pico_model, plan)).eval()
    save_adapter(model, tmp_path, "data/model")
    base = AutoModelForSequenceClassification.from_pretrained(pico_model, num_labels=3)
    stock = PeftModel.from_pretrained(base, tmp_path).eval()
    batch = pico_tokenizer()(["who is the king"], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(stock(**batch).logits, model(**batch).logits)


def test_saved_files_are_sorted_and_name_no_machine(tmp_path: Path):
    # 24 modules: from 20 on PEFT shortens target_modules to suffixes.
    config = BertConfig(**pico_bert_config().to_diff_dict() | {"num_hidden_layers": 4})
    folder = save_pico_model(tmp_path / "model", config)
    plan = make_plan(folder, lambda _: 2)
    save_adapter(built(folder, plan), tmp_path / "adapter", "data/model")
    files = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    modes = {path.stat().st_mode for path in (tmp_path / "adapter").iterdir()}
    assert len(modes) == 1
    text = (tmp_path / "adapter/adapter_config.json").read_text()
    saved = json.loads(text)
    assert saved["target_modules"] == sorted(f"bert.{module.name}" for module in plan.modules)
    assert saved["modules_to_save"] == ["classifier"]
    assert saved["base_model_name_or_path"] == "data/model" and str(tmp_path) not in text
    assert list(saved) == sorted(saved)
    with safe_open(tmp_path / "adapter/adapter_model.safetensors", "pt") as stored:
        assert len(stored.metadata()) == 1


def reload(pico_model: Path, plan: RankPlan, folder: Path, model: PeftModel) -> None:
    def fresh() -> Headed:
        return task().build(pico_model, 0)

    verify_saved(Lora(), model, plan, folder, fresh)


def test_reloading_finds_what_saving_changed(pico_model: Path, tmp_path: Path):
    plan = make_plan(pico_model, uneven)
    model = shaken(built(pico_model, plan))
    save_adapter(model, tmp_path, "data/model")
    reload(pico_model, plan, tmp_path, model)

    weights = load_file(tmp_path / "adapter_model.safetensors")
    name = next(name for name in weights if "layer.1" in name)
    weights[name].view(-1)[0] += 1e-3
    save_file(weights, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=re.escape(name)):
        reload(pico_model, plan, tmp_path, model)


def test_reloading_finds_a_lost_alpha(pico_model: Path, tmp_path: Path):
    plan = make_plan(pico_model, uneven)
    model = built(pico_model, plan)
    save_adapter(model, tmp_path, "data/model")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alpha_pattern": {}}))
    with pytest.raises(RunError, match="scale"):
        reload(pico_model, plan, tmp_path, model)


def test_an_adapter_of_another_plan_is_refused(pico_model: Path, tmp_path: Path):
    save_adapter(built(pico_model, make_plan(pico_model, lambda _: 2)), tmp_path, "data/model")
    headed = task().build(pico_model, 0)
    model = load_adapter(headed, tmp_path)
    with pytest.raises(RunError) as caught:
        verify(model, make_plan(pico_model, uneven), headed.head)
    same = sum(module["rank"] == 2 for module in plan_json(pico_model, uneven)["modules"])
    assert len(caught.value.problems) == 12 - same


def test_a_damaged_configuration_is_named(pico_model: Path, tmp_path: Path):
    save_adapter(built(pico_model, make_plan(pico_model, uneven)), tmp_path, "data/model")
    path = tmp_path / "adapter_config.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_adapter(task().build(pico_model, 0), tmp_path)
