"""Resizing by the loss: what is measured, that it is the dense metric, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from adarank.pipeline.adapters.by_loss import decomposed_by_loss
from adarank.pipeline.adapters.measuring import layers, load_adapted, measure
from adarank.pipeline.adapters.reading import read_adapter
from tests.adarank.pipeline.adapters.pico_adapters import adapted, bert_adapter
from tests.pico import pico_gpt2_config, pico_tokenizer, save_pico_model

TEXTS = [
    "who was the first king of the city",
    "what is a red river ?",
    "did trains find water in the year",
]


def resize(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["resize", *map(str, arguments)])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2") / "base"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(pico_gpt2_config()).save_pretrained(folder)
    pico_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2") / "adapter"
    options: dict[str, Any] = {"r": 4, "target_modules": ["c_attn", "c_fc", "c_proj"]}
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted(model, task_type="CAUSAL_LM", fan_in_fan_out=True, **options).save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    return tmp_path / "texts.txt"


def test_moments_and_gradients_are_those_of_a_plain_loop(base: Path, adapter: Path) -> None:
    read = read_adapter(adapter)
    seen = measure(read, base, TEXTS)
    model, name = load_adapted(read, base), "transformer.h.1.mlp.c_fc"
    tokenizer, layer = pico_tokenizer(), layers(model)[name]
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    layer.register_forward_hook(lambda _m, given, out: kept.append((given[0], out)))
    inputs, gradients = torch.zeros(2, 4, 4, dtype=torch.float64)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        loss = model(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
        x, y = kept.pop()
        gradient = torch.autograd.grad(loss, y)[0][0]
        for x_t, g_t in zip(x[0].detach(), gradient, strict=True):
            z = (layer.lora_A["default"].weight.detach() @ x_t).double()
            h = (layer.lora_B["default"].weight.detach().T @ g_t).double()
            inputs += h.square().sum() * torch.outer(z, z)
            gradients += torch.outer(h, h)
    one = seen.modules[name]
    torch.testing.assert_close(one.inputs, inputs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.gradients, gradients, rtol=1e-4, atol=1e-4)


def test_parts_add_up_and_energies_are_per_text(base: Path, adapter: Path) -> None:
    read = read_adapter(adapter)
    once, twice = (
        decomposed_by_loss(read, measure(read, base, texts)) for texts in (TEXTS, TEXTS * 2)
    )
    for part, update in read.updates():
        torch.testing.assert_close(
            once[part.name].u @ once[part.name].rows, update.dense(), rtol=1e-6, atol=1e-6
        )
        torch.testing.assert_close(once[part.name].energies, twice[part.name].energies)


def test_the_command_resizes_by_the_loss(
    base: Path, adapter: Path, texts: Path, tmp_path: Path
) -> None:
    flags = ["--texts", texts, "--model", base]
    plain = json.loads(resize(adapter, "--budget", 2, "--output", tmp_path / "a").stdout)
    result = resize(adapter, "--budget", 2, *flags, "--output", tmp_path / "b")
    assert result.exit_code == 0, result.output
    by_loss = json.loads(result.stdout)
    assert (plain["metric"], by_loss["metric"]) == ("squared_norm", "loss")
    assert by_loss["parameters"] == plain["parameters"]
    assert by_loss["relative_error"] >= plain["relative_error"]
    assert plain["lost_share"] == pytest.approx(plain["relative_error"] ** 2)
    own = sum(part.parameters for part in read_adapter(adapter).parts)
    whole = resize(adapter, "--parameters", own, *flags, "--output", tmp_path / "c")
    assert json.loads(whole.stdout)["relative_error"] < 1e-6
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(tmp_path / "b"))


def test_a_classifier_needs_no_labels(texts: Path, tmp_path: Path) -> None:
    base = save_pico_model(tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    folder = tmp_path / "adapter"
    adapted(model, task_type="SEQ_CLS", r=3, target_modules=["query", "dense"]).save_pretrained(
        folder
    )
    flags = ["--budget", 1, "--texts", texts, "--model", base]
    told = [resize(folder, *flags, "--output", tmp_path / name).stdout for name in "ab"]
    assert json.loads(told[0])["metric"] == "loss" and told[0] == told[1]


def quantise(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (quantise, "a quantised base model"),
        (lambda base: (base / "config.json").unlink(), "no model here"),
        (lambda base: (base / "model.safetensors").write_bytes(b"torn"), "cannot be loaded"),
    ],
)
def test_bases_that_cannot_be_used(
    texts: Path,
    tmp_path: Path,
    adapter: Path,
    base: Path,
    change: Callable[[Path], object],
    said: str,
) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in base.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    change(copied)
    flags = ["--budget", 1, "--texts", texts, "--model", copied]
    result = resize(adapter, *flags, "--output", tmp_path / "s")
    assert result.exit_code == 2 and said in result.output, result.output


def test_an_adapter_of_another_base(texts: Path, base: Path, tmp_path: Path) -> None:
    wide = pico_gpt2_config()
    wide.n_embd = 64
    for name, config in (("wide", wide), ("shallow", pico_gpt2_config())):
        config.n_layer = 1 if name == "shallow" else 2
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        pico_tokenizer().save_pretrained(tmp_path / name)
    bert = bert_adapter(tmp_path / "bert")
    model = AutoModelForCausalLM.from_pretrained(base)
    own = tmp_path / "own"
    adapted(model, task_type="CAUSAL_LM", r=4, target_modules=["c_attn"]).save_pretrained(own)
    for folder, other in ((own, "wide"), (own, "shallow"), (bert, "wide")):
        flags = ["--budget", 1, "--texts", texts, "--model", tmp_path / other]
        result = resize(folder, *flags, "--output", tmp_path / "s")
        assert result.exit_code == 2, result.output
        assert "does not fit this base model" in result.output


@pytest.mark.parametrize("missing", ["--texts", "--model"])
def test_texts_and_model_go_together(
    texts: Path, base: Path, adapter: Path, tmp_path: Path, missing: str
) -> None:
    given = {"--texts": texts, "--model": base}
    flags = [part for flag, value in given.items() if flag != missing for part in (flag, value)]
    result = resize(adapter, "--budget", 1, *flags, "--output", tmp_path / "s")
    assert result.exit_code == 2 and "go together" in result.output


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", None])
def test_texts_that_cannot_be_read(
    base: Path, adapter: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "t.txt"
    if content is not None:
        path.write_bytes(content)
    flags = ["--budget", 1, "--texts", path, "--model", base]
    result = resize(adapter, *flags, "--output", tmp_path / "s")
    assert result.exit_code == 2 and "--texts: " in result.output


def test_a_task_without_a_known_loss_is_refused(texts: Path, base: Path, tmp_path: Path) -> None:
    folder = bert_adapter(tmp_path / "a", task_type="TOKEN_CLS")
    flags = ["--budget", 1, "--texts", texts, "--model", base]
    result = resize(folder, *flags, "--output", tmp_path / "s")
    assert result.exit_code == 2 and "TOKEN_CLS" in result.output
