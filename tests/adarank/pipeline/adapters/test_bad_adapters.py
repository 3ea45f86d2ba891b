"""Folders that are no adapter, damaged ones, and adapters that are no plain LoRA."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoKrConfig, get_peft_model
from safetensors.torch import load_file, save_file

from adarank.errors import InputError
from adarank.pipeline.adapters.reading import CONFIG, WEIGHTS, read_adapter, refuse_non_finite
from tests.adarank.pipeline.adapters.pico_adapters import bert_adapter, classifier

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert_adapter(tmp_path / "adapter")


def edit(folder: Path, **entries: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | entries))


def spoil(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "bias beside B"),
        ({"use_qalora": True}, "QA-LoRA"),
        ({"target_parameters": ["mlp.experts.up"]}, "raw parameters"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base weights"),
        ({"init_lora_weights": "olora"}, "changes the base weights"),
        ({"peft_type": "ADALORA"}, "another type"),
        ({"peft_type": None}, "no peft_type"),
        ({"r": "8"}, "adapter_config.json: r"),
        ({"lora_alpha": None}, "adapter_config.json: lora_alpha"),
        ({"rank_pattern": {"layer[": 3}}, "no regular expression"),
        ({"r": 3}, "rank 4 in adapter_model.safetensors"),
    ],
)
def test_configurations_that_are_refused_by_name(
    folder: Path, entries: dict[str, object], said: str
) -> None:
    edit(folder, **entries)
    with pytest.raises(InputError, match=said):
        read_adapter(folder)


def test_another_method_of_peft_is_refused_by_name(tmp_path: Path) -> None:
    model = get_peft_model(classifier(), LoKrConfig(target_modules=["query"]))
    model.save_pretrained(str(tmp_path / "lokr"))
    with pytest.raises(InputError, match="LOKR"):
        read_adapter(tmp_path / "lokr")


def test_a_real_dora_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DoRA"):
        read_adapter(bert_adapter(tmp_path / "dora", use_dora=True))


def test_all_problems_of_a_configuration_at_once(folder: Path) -> None:
    edit(folder, use_dora=True, lora_bias=True, init_lora_weights="pissa")
    with pytest.raises(InputError) as error:
        read_adapter(folder)
    assert len(error.value.problems) == 3


QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(f"{QUERY}.lora_B.weight"), "A without its B"),
        (lambda t: t.update({f"{QUERY}.lora_B.weight": torch.ones(32, 5)}), "do not multiply"),
        (lambda t: t.update({f"{QUERY}.lora_magnitude_vector": torch.ones(32)}), "no factor of a"),
        (lambda t: [t.pop(key) for key in list(t) if "lora" in key], "no LoRA factors"),
    ],
)
def test_factors_that_do_not_fit(
    folder: Path, change: Callable[[Tensors], object], said: str
) -> None:
    spoil(folder, change)
    with pytest.raises(InputError, match=said):
        read_adapter(folder)


def test_every_module_that_is_not_finite_is_named(folder: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors[f"{QUERY}.lora_A.weight"][0, 0] = float("nan")
        tensors[f"{QUERY.replace('query', 'value')}.lora_B.weight"][:] = float("inf")

    spoil(folder, change)
    with pytest.raises(InputError) as error:
        refuse_non_finite(read_adapter(folder))
    assert [problem.where.split(".")[-1] for problem in error.value.problems] == ["query", "value"]


@pytest.mark.parametrize(
    ("file", "content"),
    [(CONFIG, b"{"), (CONFIG, b"[]"), (CONFIG, b"\xff"), (WEIGHTS, b""), (WEIGHTS, b"\x08" * 99)],
)
def test_damaged_files(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_adapter(folder)


def test_folders_that_are_no_adapter(folder: Path, pico_model: Path) -> None:
    for place, said in ((pico_model, "a whole model"), (folder / "nowhere", "no such folder")):
        with pytest.raises(InputError, match=said):
            read_adapter(place)
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match="pickle"):
        read_adapter(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(InputError, match=f"no {WEIGHTS}"):
        read_adapter(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(InputError, match=f"no {CONFIG}"):
        read_adapter(folder)
