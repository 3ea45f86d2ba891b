"""Padded adapters answer as before, in PEFT and in programs that read r and lora_alpha alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.utils.hotswap import hotswap_adapter
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from adarank.pipeline.adapters.reading import CONFIG, WEIGHTS, read_adapter
from tests.adarank.pipeline.adapters.pico_adapters import (
    IDS,
    bert_adapter,
    causal_lm,
    classifier,
    differences,
    gpt2_adapter,
    in_peft,
    logits,
)

HEADLESS: dict[str, Any] = {"modules_to_save": None, "task_type": None}
ALL = {"target_modules": ["query", "value", "word_embeddings"]}


def export(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_adapter(tmp_path_factory.mktemp("bert") / "adapter")


def by_one_scale(folder: Path) -> dict[str, Tensor]:
    """The updates as a server takes them that scales every module by lora_alpha / r."""
    config = json.loads((folder / CONFIG).read_text())
    return updates(folder, lambda _: config["lora_alpha"] / config["r"])


def by_own_rank(folder: Path) -> dict[str, Tensor]:
    """The updates as a converter takes them that divides the one alpha by each tensor's rank."""
    alpha = json.loads((folder / CONFIG).read_text())["lora_alpha"]
    return updates(folder, lambda rank: alpha / rank)


def updates(folder: Path, scale: object) -> dict[str, Tensor]:
    tensors = load_file(folder / WEIGHTS)
    return {
        key.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): scale(len(a))  # type: ignore[operator]
        * (tensors[key.replace("lora_A", "lora_B")].double() @ a.double())
        for key, a in tensors.items()
        if key.endswith(".lora_A.weight")
    }


@pytest.mark.parametrize("kind", ["bert", "embeddings", "gpt2"])
@pytest.mark.parametrize("flags", [[], ["--per-kind"], ["--rank", "9"]])
def test_peft_answers_as_before(kind: str, flags: list[str], tmp_path: Path) -> None:
    make = causal_lm if kind == "gpt2" else classifier
    folder = (
        gpt2_adapter(tmp_path / "a")
        if kind == "gpt2"
        else bert_adapter(tmp_path / "a", **(ALL if kind == "embeddings" else {}))
    )
    result = export(folder, "--padded", *flags, "--output", tmp_path / "p")
    assert result.exit_code == 0, result.output
    torch.testing.assert_close(
        logits(make(), tmp_path / "p"), logits(make(), folder), atol=1e-5, rtol=1e-5
    )
    config = json.loads((tmp_path / "p" / CONFIG).read_text())
    ranks = {rank for rank, _ in in_peft(make(), tmp_path / "p").values()}
    assert config["alpha_pattern"] == {} and config["use_rslora"] is False
    if flags != ["--per-kind"]:
        assert config["rank_pattern"] == {} and ranks == {config["r"]}
    assert (
        config["r"]
        == max(ranks)
        == (9 if "9" in flags else max(p.rank for p in read_adapter(folder).parts))
    )


def test_readers_of_r_and_alpha_alone_are_right_where_they_were_wrong(
    bert: Path, tmp_path: Path
) -> None:
    export(bert, "--padded", "--output", tmp_path / "p")
    export(bert, "--padded", "--per-kind", "--output", tmp_path / "k")
    for name, right in differences(classifier(), bert).items():
        for reader in (by_one_scale, by_own_rank):
            torch.testing.assert_close(reader(tmp_path / "p")[name], right, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(by_own_rank(tmp_path / "k")[name], right, atol=1e-6, rtol=1e-6)
    query = "bert.encoder.layer.0.attention.self.query"
    assert not torch.allclose(by_one_scale(bert)[query], differences(classifier(), bert)[query])


def test_peft_hotswaps_padded_adapters_and_refuses_the_others(tmp_path: Path) -> None:
    # Without a head saved whole, which hotswapping cannot exchange.
    bert = bert_adapter(tmp_path / "a", **HEADLESS)
    other = bert_adapter(tmp_path / "o", **HEADLESS, rank_pattern={}, alpha_pattern={}, r=2)
    for name, folder in (("p", bert), ("q", other)):
        export(folder, "--padded", "--rank", 6, "--output", tmp_path / name)
    model = PeftModel.from_pretrained(classifier(), str(other)).eval()
    with pytest.raises(ValueError, match="alpha_pattern"):
        hotswap_adapter(model, str(bert), "default")
    model = PeftModel.from_pretrained(classifier(), str(tmp_path / "q")).eval()
    hotswap_adapter(model, str(tmp_path / "p"), "default")
    swapped = differences_of(model)
    for name, right in differences(classifier(), bert).items():
        torch.testing.assert_close(swapped[name], right, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def differences_of(model: PeftModel) -> dict[str, Tensor]:
    return {
        name: module.scaling["default"]
        * (module.lora_B["default"].weight.double() @ module.lora_A["default"].weight.double())
        for name, module in model.get_base_model().named_modules()
        if getattr(module, "lora_A", None)
    }


def test_peft_merges_padded_adapters_linearly(tmp_path: Path) -> None:
    first = bert_adapter(tmp_path / "a", **HEADLESS)
    second = bert_adapter(tmp_path / "b", **HEADLESS, r=2, rank_pattern={}, alpha_pattern={})
    for name, folder in (("p", first), ("q", second)):
        export(folder, "--padded", "--rank", 6, "--output", tmp_path / name)
    ranks = [json.loads((f / CONFIG).read_text())["r"] for f in (first, second)]
    assert ranks == [4, 2]

    def merge(one: Path, other: Path) -> None:
        model = PeftModel.from_pretrained(classifier(), str(one), adapter_name="one").eval()
        model.load_adapter(str(other), "other")
        for how in ("linear", "ties", "dare_linear"):
            model.add_weighted_adapter(["one", "other"], [0.5, 0.5], how, how, density=0.5)
            model.set_adapter(how)
            assert model(input_ids=IDS).logits.isfinite().all()

    with pytest.raises(ValueError, match="same r"):
        merge(first, second)
    merge(tmp_path / "p", tmp_path / "q")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "which form?"),
        (["--padded", "--per-kind", "--rank", "9"], "which form?"),
        (["--padded", "--rank", "5"], "cannot lower a rank"),
    ],
)
def test_forms_that_cannot_be(bert: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    result = export(bert, *flags, "--output", tmp_path / "p")
    assert result.exit_code == 2 and said in result.output
    assert not (tmp_path / "p").exists()
