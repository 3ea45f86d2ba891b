import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from adarank.pipeline.adapters.reading import CONFIG, WEIGHTS, read_adapter
from tests.adarank.pipeline.adapters.pico_adapters import (
    bert_adapter,
    causal_lm,
    classifier,
    differences,
    gpt2_adapter,
    in_peft,
    logits,
)


def resize(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["resize", *map(str, arguments)])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_adapter(tmp_path_factory.mktemp("bert") / "adapter")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2_adapter(tmp_path_factory.mktemp("gpt2") / "adapter")


def test_ranks_and_scales_are_read_as_peft_builds_them(bert: Path, gpt2: Path) -> None:
    for folder, base in ((bert, classifier()), (gpt2, causal_lm())):
        read = {part.name: (part.rank, part.scale) for part in read_adapter(folder).parts}
        built = in_peft(base, folder)
        assert read.keys() == built.keys() and len(read) >= 8
        for name, (rank, scale) in built.items():
            assert read[name] == (rank, pytest.approx(scale))


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_at_its_own_size_the_model_answers_as_before(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(model)
    make = classifier if model == "bert" else causal_lm
    own = sum(part.parameters for part in read_adapter(folder).parts)
    result = resize(folder, "--parameters", own, "--output", tmp_path / "same")
    assert result.exit_code == 0, result.output
    torch.testing.assert_close(
        logits(make(), tmp_path / "same"), logits(make(), folder), atol=1e-5, rtol=1e-5
    )
    assert json.loads(result.stdout)["relative_error"] < 1e-6


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_the_budget_is_spent_exactly_and_the_error_is_the_dense_one(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(model)
    make = classifier if model == "bert" else causal_lm
    result = resize(folder, "--budget", 2, "--output", tmp_path / "small")
    assert result.exit_code == 0, result.output
    told, new = json.loads(result.stdout), read_adapter(tmp_path / "small")
    old = read_adapter(folder)
    assert told["parameters"] == 2 * sum(part.parameters_per_rank for part in old.parts)
    assert sum(part.parameters for part in new.parts) == told["parameters"]
    built = in_peft(make(), tmp_path / "small")
    assert {n: rank for n, (rank, _) in built.items()} == {p.name: p.rank for p in new.parts}
    assert {scale for _, scale in built.values()} == {old.parts[0].scale}
    before, after = differences(make(), folder), differences(make(), tmp_path / "small")
    squares = {n: (before[n] - after.get(n, 0)).square().sum() for n in before}
    for module in told["modules"]:
        expected = float((squares[module["name"]] / before[module["name"]].square().sum()).sqrt())
        assert module["relative_error"] == pytest.approx(expected, abs=1e-6)
    whole = sum(one.square().sum() for one in before.values())
    assert told["relative_error"] == pytest.approx(float((sum(squares.values()) / whole) ** 0.5))
    assert 0 < told["relative_error"] < 1


def test_no_uniform_truncation_errs_less_than_the_budget_over_all_modules(
    gpt2: Path, tmp_path: Path
) -> None:
    shared = json.loads(resize(gpt2, "--budget", 2, "--output", tmp_path / "a").stdout)
    uniform = json.loads(resize(gpt2, "--max-rank", 2, "--output", tmp_path / "b").stdout)
    assert shared["parameters"] == uniform["parameters"]
    assert shared["relative_error"] < uniform["relative_error"]
    assert {module["rank"] for module in uniform["modules"]} == {2}
    config = json.loads((tmp_path / "b" / CONFIG).read_text())
    assert (config["r"], config["rank_pattern"], config["alpha_pattern"]) == (2, {}, {})


def test_modules_of_rank_0_have_no_adapter_and_none_is_added(bert: Path, tmp_path: Path) -> None:
    assert resize(bert, "--budget", 0.3, "--output", tmp_path / "s").exit_code == 0
    kept = {part.name for part in read_adapter(tmp_path / "s").parts}
    assert 0 < len(kept) < len(read_adapter(bert).parts)
    assert in_peft(classifier(), tmp_path / "s").keys() == kept


def test_the_head_is_kept_bit_for_bit(bert: Path, tmp_path: Path) -> None:
    resize(bert, "--budget", 1, "--output", tmp_path / "s")
    before, after = load_file(bert / WEIGHTS), load_file(tmp_path / "s" / WEIGHTS)
    heads = [name for name in before if "lora" not in name]
    assert heads and all(torch.equal(before[name], after[name]) for name in heads)
    config = json.loads((tmp_path / "s" / CONFIG).read_text())
    assert config["modules_to_save"] == json.loads((bert / CONFIG).read_text())["modules_to_save"]


def test_trained_biases_stay_where_a_module_loses_its_ranks(tmp_path: Path) -> None:
    folder = bert_adapter(tmp_path / "a", bias="all")
    stored = load_file(folder / WEIGHTS)
    trained = {
        key: 1 + tensor
        for key, tensor in stored.items()
        if key.endswith(".bias") and "classifier" not in key
    }
    save_file(stored | trained, folder / WEIGHTS, metadata={"format": "pt"})
    assert resize(folder, "--budget", 0.3, "--output", tmp_path / "s").exit_code == 0
    assert any(".base_layer.bias" in key for key in stored)
    model = PeftModel.from_pretrained(classifier(), str(tmp_path / "s"))
    now = {name.replace(".base_layer", ""): p for name, p in model.named_parameters()}
    for key, tensor in trained.items():
        torch.testing.assert_close(now[key.replace(".base_layer", "")].detach(), tensor)


def test_embeddings_are_kept_whole_and_said(tmp_path: Path) -> None:
    folder = bert_adapter(tmp_path / "a", target_modules=["query", "word_embeddings"])
    result = resize(folder, "--budget", 1, "--output", tmp_path / "s")
    assert "word_embeddings: no linear layer, kept whole" in result.output
    name = "bert.embeddings.word_embeddings"
    assert in_peft(classifier(), tmp_path / "s")[name] == in_peft(classifier(), folder)[name]
    before, after = load_file(folder / WEIGHTS), load_file(tmp_path / "s" / WEIGHTS)
    key = f"base_model.model.{name}.lora_embedding_A"
    assert torch.equal(before[key], after[key])


@pytest.mark.parametrize("start", ["orthogonal", "mica", "gaussian"])
def test_a_start_that_demands_a_rank_does_not_outlive_it(start: str, tmp_path: Path) -> None:
    folder = bert_adapter(tmp_path / "a", r=4, init_lora_weights=start, rank_pattern={})
    assert resize(folder, "--max-rank", 3, "--output", tmp_path / "s").exit_code == 0
    assert {rank for rank, _ in in_peft(classifier(), tmp_path / "s").values()} == {3}
    assert logits(classifier(), tmp_path / "s").isfinite().all()


def test_half_precision_stays(tmp_path: Path) -> None:
    folder = gpt2_adapter(tmp_path / "a")
    halves = {k: t.bfloat16() for k, t in load_file(folder / WEIGHTS).items()}
    save_file(halves, folder / WEIGHTS, metadata={"format": "pt"})
    assert resize(folder, "--budget", 2, "--output", tmp_path / "s").exit_code == 0
    assert {t.dtype for t in load_file(tmp_path / "s" / WEIGHTS).values()} == {torch.bfloat16}


def test_the_same_adapter_gives_the_same_bytes(bert: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        resize(bert, "--budget", 1.5, "--output", tmp_path / name)
    for file in (CONFIG, WEIGHTS):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == {CONFIG, WEIGHTS}
    config = json.loads((tmp_path / "one" / CONFIG).read_text())
    assert config["target_modules"] == sorted(config["target_modules"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "5"], "larger than the adapter is"),
        (["--parameters", "99999999"], "larger than the adapter is"),
        (["--budget", "0.01"], "nothing of the adapter would be left"),
        (["--budget", "nan"], "no such size"),
        (["--budget", "-1"], "no such size"),
        (["--max-rank", "0"], "no such size"),
        (["--budget", "1", "--parameters", "100"], "how small?"),
        ([], "how small?"),
    ],
)
def test_sizes_that_cannot_be(bert: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    result = resize(bert, *arguments, "--output", tmp_path / "s")
    assert result.exit_code == 2 and said in result.output
    assert not (tmp_path / "s").exists()


def test_nothing_is_written_over(bert: Path) -> None:
    result = resize(bert, "--budget", 1, "--output", bert)
    assert result.exit_code == 2 and "something at that place" in result.output
