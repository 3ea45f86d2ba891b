"""adarank.merge on models in memory and on folders, and what is written of it."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

import adarank
from adarank.errors import InputError
from adarank.merging.learned.learning import Learning
from adarank.merging.registry import METHODS
from adarank.merging.task_vectors import dense
from adarank.pipeline.merging import writing
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.reading import read_members
from adarank.pipeline.merging.running import Request, run
from adarank.pipeline.merging.writing import write_full, write_lora
from tests.adarank.pipeline.merging.folders import LABELS, adapted, headed, saved, tuned
from tests.pico import WORDS, pico_gpt2_config, save_pico_model

CLOSED = [name for name, method in METHODS.items() if not method.learned]
TEXTS = {task: [" ".join(WORDS[i : i + 5]) for i in range(20)] for task in LABELS}
QUICK = Learning(steps=3, batch=4, check_every=1)
IDS = {"input_ids": torch.arange(5, 25).reshape(4, 5)}


@pytest.mark.parametrize("method", CLOSED)
@pytest.mark.parametrize("form", ["adapters", "models"])
def test_folders_and_models_in_memory_merge_alike(
    pico_model: Path, tmp_path: Path, form: str, method: str
) -> None:
    from_folders = adarank.merge(pico_model, saved(tmp_path, pico_model, form), method)
    make = adapted if form == "adapters" else tuned
    models = {task: make(pico_model, task) for task in LABELS}
    in_memory = adarank.merge(AutoModel.from_pretrained(pico_model), models, method)
    assert from_folders.vectors.keys() == in_memory.vectors.keys()
    for name, vector in from_folders.vectors.items():
        torch.testing.assert_close(
            dense(vector), dense(in_memory.vectors[name]), rtol=1e-5, atol=1e-6
        )


def test_task_vectors_are_what_peft_merges_and_what_tuning_changed(
    pico_model: Path, tmp_path: Path
) -> None:
    before = dict(AutoModel.from_pretrained(pico_model).named_parameters())
    folders = saved(tmp_path, pico_model, "mixed")
    members = read_members(read_base(pico_model), folders)
    merged = adapted(pico_model, "trees").merge_and_unload().bert
    whole = tuned(pico_model, "rivers").bert
    for member, after in zip(members, (merged, whole), strict=True):
        weights = dict(after.named_parameters())
        for name, vector in member.vectors.items():
            change = weights[name] - before[name]
            torch.testing.assert_close(dense(vector).float(), change, rtol=1e-4, atol=1e-6)
    assert len(members[0].vectors) == 4
    assert "embeddings.word_embeddings.weight" in members[1].excluded
    assert sorted(members[0].head) == ["classifier.bias", "classifier.weight"]


def test_trained_biases_and_norms_are_merged_and_no_part_of_a_head(
    pico_model: Path, tmp_path: Path
) -> None:
    for task in LABELS:
        model = adapted(
            pico_model, task, bias="all", modules_to_save=["classifier", "output.LayerNorm"]
        )
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.requires_grad and (".bias" in name or "LayerNorm" in name):
                    p.add_(0.1 * torch.randn_like(p))
        model.save_pretrained(str(tmp_path / task))
        whole = model.merge_and_unload()  # pyright: ignore[reportCallIssue]
        before = dict(AutoModel.from_pretrained(pico_model).named_parameters())
        (member,) = read_members(read_base(pico_model), {task: tmp_path / task})
        assert sorted(member.head) == ["classifier.bias", "classifier.weight"]
        for name, after in whole.bert.named_parameters():
            change = dense(member.vectors[name]).float() if name in member.vectors else 0
            torch.testing.assert_close(after, before[name] + change, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["adapters", "models", "mixed"])
def test_a_written_model_predicts_as_the_merge_in_memory(
    pico_model: Path, tmp_path: Path, form: str
) -> None:
    folders = saved(tmp_path, pico_model, form)
    merged = adarank.merge(pico_model, folders, "task_arithmetic")
    base = read_base(pico_model)
    members = read_members(base, folders)
    write_full(tmp_path / "out", base, merged.vectors, members, shard_bytes=20_000)
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1

    wanted = headed(pico_model, 3, seed=0)
    merged.add_to(wanted)
    wanted.load_state_dict(dict(merged.heads["trees"]), strict=False)
    found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=3)
    head = load_file(tmp_path / "out/heads/trees.safetensors")
    found.load_state_dict(head, strict=False)
    torch.testing.assert_close(found.eval()(**IDS).logits, wanted(**IDS).logits)


def test_a_written_adapter_holds_its_budget_and_loads_with_plain_peft(
    pico_model: Path, tmp_path: Path
) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    merged = adarank.merge(pico_model, folders, "tsv_m")
    base = read_base(pico_model)
    members = read_members(base, folders)
    written = write_lora(tmp_path / "out", base, merged.vectors, members, budget=2.5)
    stored = load_file(tmp_path / "out/adapter_model.safetensors")
    assert sum(t.numel() for t in stored.values()) == written.parameters
    assert written.parameters == int(2.5 * (2 * (32 + 32) + 2 * (32 + 64)))
    assert len(set(written.ranks.values())) > 1

    # All components: ranks 5, 5, 5 and 2, so 1312 parameters at 320 a rank.
    whole = write_lora(tmp_path / "whole", base, merged.vectors, members, budget=4.1)
    assert whole.error < 1e-6
    loaded = peft.PeftModel.from_pretrained(headed(pico_model, 3, 0), str(tmp_path / "whole"))
    wanted = headed(pico_model, 3, 0)
    merged.add_to(wanted)
    torch.testing.assert_close(loaded.eval()(**IDS).logits, wanted(**IDS).logits)


def test_conv1d_members_go_in_and_out_the_right_way_round(tmp_path: Path) -> None:
    base = save_pico_model(tmp_path / "base", pico_gpt2_config())
    folders = {}
    for seed, task in enumerate(("trees", "rivers")):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=2 + seed, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
        model = peft.get_peft_model(AutoModel.from_pretrained(base), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.3)
        model.save_pretrained(str(tmp_path / task))
        folders[task] = tmp_path / task
    merged = adarank.merge(base, folders, "cart")
    found = read_base(base)
    write_lora(tmp_path / "out", found, merged.vectors, read_members(found, folders), budget=5)
    loaded = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(base), str(tmp_path / "out"))
    wanted = AutoModel.from_pretrained(base)
    merged.add_to(wanted)
    torch.testing.assert_close(
        loaded(**IDS).last_hidden_state, wanted(**IDS).last_hidden_state, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("form", ["adapters", "models"])
def test_learned_merging_of_folders_and_of_models_in_memory(
    pico_model: Path, tmp_path: Path, form: str
) -> None:
    from transformers import AutoTokenizer

    folders = saved(tmp_path, pico_model, form)
    how: dict[str, Any] = {"values": {"rate": 0.05}, "texts": TEXTS, "learning": QUICK}
    one = adarank.merge(pico_model, folders, "adarank", **how)
    make = adapted if form == "adapters" else tuned
    models = {task: make(pico_model, task) for task in LABELS}
    tokenizer = AutoTokenizer.from_pretrained(pico_model)
    base = AutoModel.from_pretrained(pico_model)
    other = adarank.merge(base, models, "adarank", tokenizer=tokenizer, **how)
    assert one.learned and other.learned
    assert one.learned.state.history[0][1] == pytest.approx(other.learned.state.history[0][1])
    assert {row.task for row in one.learned.ranks} == set(LABELS)


def refused(
    text: str, base: Path, folders: dict[str, Path], method: str = "average", **how: Any
) -> None:
    with pytest.raises(InputError, match=text):
        adarank.merge(base, folders, method, **how)


def test_a_member_of_another_base_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path / "members", pico_model, "models")
    other = save_pico_model(tmp_path / "other", seed=9)
    refused("no fine-tuning of this base", other, folders)
    adapters = saved(tmp_path / "adapters", pico_model, "adapters")
    refused("trained from .* whose weights differ", other, adapters)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_a_member_in_memory_that_trained_biases_is_refused(pico_model: Path, bias: Any) -> None:
    config = peft.LoraConfig(r=2, target_modules=["query"], bias=bias)
    members = {task: headed(pico_model, 3, 0) for task in ("trees", "rivers")}
    members["rivers"] = peft.get_peft_model(members["rivers"], config)
    with pytest.raises(adarank.InputError, match=f"rivers: only plain LoRA.*\n.*bias: {bias}"):
        adarank.merge(AutoModel.from_pretrained(pico_model), members, "average")


def test_what_a_member_in_memory_learned_of_embeddings_is_named(pico_model: Path) -> None:
    members = {}
    for task in ("trees", "rivers"):
        config = peft.LoraConfig(r=2, target_modules=["query", "word_embeddings"])
        members[task] = peft.get_peft_model(AutoModel.from_pretrained(pico_model), config)
    merged = adarank.merge(AutoModel.from_pretrained(pico_model), members, "average")
    assert merged.excluded == ("embeddings.word_embeddings.weight",)


def test_a_member_with_other_modules_is_refused(pico_model: Path, tmp_path: Path) -> None:
    base = save_pico_model(tmp_path / "gpt2", pico_gpt2_config())
    refused("modules that the base does not have", base, saved(tmp_path, pico_model, "adapters"))


@pytest.mark.parametrize(
    ("index", "said"),
    [("{", "index of shards is damaged"), ("[]", "index of shards"), ("{}", "weight_map")],
)
def test_a_damaged_index_of_shards_is_refused(
    pico_model: Path, tmp_path: Path, index: str, said: str
) -> None:
    folders = saved(tmp_path, pico_model, "models")
    (tmp_path / "trees" / "model.safetensors.index.json").write_text(index)
    refused(said, pico_model, folders)


def test_a_shard_without_its_tensors_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "models")
    weights = tmp_path / "trees" / "model.safetensors"
    files = dict.fromkeys(load_file(weights), weights.name)
    index = json.dumps({"weight_map": files})
    (tmp_path / "trees" / "model.safetensors.index.json").write_text(index)
    save_file({"other": torch.zeros(1)}, weights)
    refused("the file is damaged", pico_model, folders)


def test_a_merge_that_fails_late_leaves_no_output(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = saved(tmp_path / "members", pico_model, "adapters")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_heads", full)
    for budget in (None, 2.0):
        request = Request(pico_model, folders, "average", budget=budget)
        with pytest.raises(OSError, match="No space"):
            run(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_member_with_another_tokenizer_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    tokenizer = json.loads((pico_model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["king"], tokenizer["model"]["vocab"]["river"] = 30, 31
    (folders["trees"] / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused("another tokenizer", pico_model, folders)


def test_dora_and_quantised_members_are_refused_together(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "models")
    adapted(pico_model, "trees", use_dora=True).save_pretrained(str(tmp_path / "dora"))
    config = json.loads((folders["rivers"] / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folders["rivers"] / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as raised:
        adarank.merge(pico_model, {"trees": tmp_path / "dora", "rivers": folders["rivers"]})
    assert "DoRA" in str(raised.value) and "quantised" in str(raised.value)
    with pytest.raises(InputError, match="DoRA"):
        models = {
            "a": adapted(pico_model, "trees", use_dora=True),
            "b": tuned(pico_model, "rivers"),
        }
        adarank.merge(AutoModel.from_pretrained(pico_model), models)


def test_a_member_with_nan_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    path = folders["trees"] / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[next(name for name in tensors if "lora_A" in name)][0, 0] = float("nan")
    save_file(tensors, path)
    refused("trees: .*: numbers that are not finite", pico_model, folders)


def test_one_member_alone_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    refused("nothing to merge", pico_model, {"trees": folders["trees"]})


def test_texts_are_checked(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    refused("learns on unlabelled texts", pico_model, folders, "adarank")
    one = {"trees": TEXTS["trees"]}
    refused("texts of rivers: no texts", pico_model, folders, "adarank", texts=one)
    none = {**one, "rivers": []}
    refused("no rows", pico_model, folders, "adarank", texts=none)
    strange = {**TEXTS, "seas": ["a"]}
    refused("texts of seas", pico_model, folders, "adarank", texts=strange)
    refused("reads no texts", pico_model, folders, "ties", texts=TEXTS)


def test_a_learned_method_needs_heads(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    adapted(pico_model, "trees", modules_to_save=None).save_pretrained(str(tmp_path / "bare"))
    folders["trees"] = tmp_path / "bare"
    refused("no head", pico_model, folders, "adarank", texts=TEXTS)
    adarank.merge(pico_model, folders, "average")


def test_a_list_of_lambdas_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    values: Any = {"scaling": [0.2, 0.4]}
    refused("one number", pico_model, folders, "task_arithmetic", values=values)


def test_a_budget_above_the_sum_of_ranks_is_refused(pico_model: Path, tmp_path: Path) -> None:
    folders = saved(tmp_path, pico_model, "adapters")
    merged = adarank.merge(pico_model, folders)
    base = read_base(pico_model)
    with pytest.raises(InputError, match="the sum of the members' ranks"):
        write_lora(tmp_path / "out", base, merged.vectors, read_members(base, folders), budget=6)
