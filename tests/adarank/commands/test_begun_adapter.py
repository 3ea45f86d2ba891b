"""`adarank ranks --start`: an untrained adapter in PEFT's format, begun on a task's rows."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from peft import PeftModel
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from typer.testing import CliRunner

from adarank.commands.app import app
from adarank.tasks.registry import make_task
from adarank.tuning.starts.base import ROW_NORM
from tests.architectures import CONFIGS
from tests.pico import SPECIAL, WORDS, pico_bert_config, pico_tokenizer

EXAMPLE = Path(__file__).parents[3] / "examples/gradient_start.py"
ROWS = "text,label\n" + "who did live in the city,person\nwhere is the river,place\n" * 8


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with a head of its own and no dropout, a causal model, and rows for each."""
    folder = tmp_path_factory.mktemp("begun")
    config: Any = pico_bert_config()
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    AutoModel.from_config(config).save_pretrained(folder / "still")
    about = {"type": "classification", "labels": ["person", "place"]}
    headed = make_task(about, pico_tokenizer(), 64).build(folder / "still", 0)
    headed.model.save_pretrained(folder / "classifier")
    llama: Any = CONFIGS["llama"]()
    llama.vocab_size = len(SPECIAL) + len(WORDS)
    AutoModelForCausalLM.from_config(llama).save_pretrained(folder / "writer")
    for name in ("classifier", "writer"):
        pico_tokenizer().save_pretrained(folder / name)
    (folder / "rows.csv").write_text(ROWS)
    pairs = [{"prompt": "who did live ", "response": "in the city"}] * 4
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in pairs))
    return folder


def call(model: Path, *options: object) -> Any:
    arguments = ["ranks", str(model), "--budget", "4", *map(str, options)]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def begin(model: Path, start: str, table: Path, out: Path, *options: object) -> dict[str, Any]:
    found = call(model, "--start", start, "--task", table, "--adapter", out, *options)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def losses(model: Any, source: Path, table: Path, out: Path) -> list[float]:
    """Train as the example does."""
    rows = load_dataset("csv", data_files=str(table), split="train").class_encode_column("label")
    tokenizer = AutoTokenizer.from_pretrained(source)
    train = rows.map(lambda row: tokenizer(row["text"], truncation=True), remove_columns=["text"])
    arguments = TrainingArguments(
        str(out),
        max_steps=10,
        learning_rate=1e-2,
        per_device_train_batch_size=16,
        logging_steps=1,
        report_to="none",
    )
    collate = DataCollatorWithPadding(tokenizer)
    data = train.rename_column("label", "labels")
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=data)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_commands_adapter_trains_as_the_scripts_does(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, table = pico / "classifier", pico / "rows.csv"
    strategy = ("--strategy", "uniform", "--warmup-steps", 0)
    begin(source, "gradient", table, tmp_path / "begun", *strategy)
    base = AutoModelForSequenceClassification.from_pretrained(source)
    model = PeftModel.from_pretrained(base, str(tmp_path / "begun"), is_trainable=True)
    by_command = losses(model, source, table, tmp_path / "trained")
    arguments = ["gradient_start", str(source), str(table), str(tmp_path / "script")]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    state = json.loads((tmp_path / "script/trainer_state.json").read_text())
    by_script = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert by_command == pytest.approx(by_script, rel=1e-3, abs=1e-4)
    assert by_command[-1] < 0.9 * by_command[0]


@pytest.mark.parametrize("start", ["gradient", "inputs", "orthogonal", "kaiming"])
def test_every_start_leaves_the_base_as_it_is_and_has_the_plans_ranks(
    pico: Path, tmp_path: Path, start: str
) -> None:
    found = begin(pico / "writer", start, pico / "pairs.jsonl", tmp_path / "begun")
    assert found["about"]["start"]["name"] == start
    assert found["about"]["start"]["task"] == "CAUSAL_LM"
    ranks = {m["name"]: m["rank"] for m in found["about"]["modules"] if m["rank"]}
    weights = load_file(tmp_path / "begun/adapter_model.safetensors")
    rows = {
        name.removeprefix("base_model.model.model.").removesuffix(".lora_A.weight"): a
        for name, a in weights.items()
        if name.endswith(".lora_A.weight")
    }
    assert {name: len(a) for name, a in rows.items()} == ranks and len(set(ranks.values())) > 1
    assert not any(b.any() for name, b in weights.items() if "lora_B" in name)
    if start != "kaiming":
        norms = torch.cat([a.norm(dim=1) for a in rows.values()])
        assert torch.allclose(norms, torch.full_like(norms, ROW_NORM), atol=1e-5)


def test_labels_keep_the_order_of_the_checkpoints_head(pico: Path, tmp_path: Path) -> None:
    """Its head is trained for this order; another would ask for the opposite gradient."""
    model = AutoModelForSequenceClassification.from_pretrained(pico / "classifier")
    config: Any = model.config
    config.id2label, config.label2id = {0: "place", 1: "person"}, {"place": 0, "person": 1}
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.flip(0))
        model.classifier.bias.copy_(model.classifier.bias.flip(0))
    model.save_pretrained(tmp_path / "flipped")
    pico_tokenizer().save_pretrained(tmp_path / "flipped")
    options = ("--strategy", "uniform", "--warmup-steps", 0)
    begin(pico / "classifier", "gradient", pico / "rows.csv", tmp_path / "a", *options)
    begin(tmp_path / "flipped", "gradient", pico / "rows.csv", tmp_path / "b", *options)
    first, second = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b")
    )
    leading = [name for name in first if name.endswith("lora_A.weight")]
    for name in leading:
        one, other = first[name][0], second[name][0]
        assert abs(float(one @ other)) == pytest.approx(ROW_NORM**2, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--start", "gradient"), ["--task", "--adapter", "go together"]),
        (("--task", "rows.csv"), ["--start", "--adapter"]),
        (("--strategy", "gradient_start_uniform"), ["--strategy uniform --start gradient"]),
        (("--strategy", "weight_gradient"), ["weight_gradient was not scored"]),
        (
            ("--start", "inputs", "--task", "none.csv", "--adapter", "out"),
            ["--task", "none.csv", "columns text and label"],
        ),
    ],
)
def test_what_cannot_begin_is_refused(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(pico / "writer", *options)
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert all(part in " ".join(result.output.split()) for part in said), result.output
    assert not (tmp_path / "out").exists()


def test_a_table_without_a_tasks_columns_is_refused(pico: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sentence,class\nwho,a\n")
    options = ("--task", tmp_path / "rows.csv", "--adapter", tmp_path / "out")
    result = call(pico / "writer", "--start", "gradient", *options)
    assert result.exit_code == 2 and "sentence, class" in " ".join(result.output.split())
