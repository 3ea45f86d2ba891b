"""The finetune stage: whole folders, verified adapters, the same bytes, clear refusals."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner, Result

from adarank.errors import Problem
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.running import one_run as runs
from adarank.tuning.loop.finite import DivergedError
from adarank.tuning.loop.watch import Trained
from adarank.tuning.lora import read_ranks
from stages.finetune import app
from tests.cells import files, write_params, write_project
from tests.schemas import key_paths

CELL = ["--task", "questions", "--strategy", "explicit", "--budget", "2"]


def finetune() -> Result:
    return CliRunner().invoke(app, CELL)


@pytest.fixture(scope="module")
def finished(
    pico_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Result]]:
    """A project whose cell has been trained once; read-only."""
    folder = tmp_path_factory.mktemp("finetuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project(pico_model)
        # Test rows have no part in training: it must do without them.
        Path("data/tasks/questions/test.parquet").unlink()
        yield folder, finetune()


@pytest.fixture
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)


def test_it_writes_an_adapter_and_a_curve_for_every_seed(finished: tuple[Path, Result]):
    folder, result = finished
    assert result.exit_code == 0, result.output
    adapters = [
        path.name for path in sorted((folder / "data/adapters/questions/explicit-2").iterdir())
    ]
    assert adapters == ["learning_rates.json", "seed-0", "seed-1"]
    curve = pd.read_csv(folder / "data/curves/questions/explicit-2/seed-1.tsv", sep="\t")
    assert curve["step"].tolist() == list(range(1, 9))
    assert curve.dropna()["step"].tolist() == [3, 6, 8]
    assert curve["learning_rate"].max() == pytest.approx(2e-2)
    assert {"train_loss", "gradient_norm", "validation_loss", "validation_accuracy"} < set(curve)


def test_it_says_what_was_verified_and_nothing_noisy(finished: tuple[Path, Result]):
    folder, result = finished
    plan = json.loads((folder / "data/plans/explicit-2/questions.json").read_text())
    said = result.stderr
    assert "seed 0: validation loss" in said and "seed 1: validation loss" in said
    assert f"10 ranks read back, {plan['parameters']} parameters + 99 in the head" in said
    assert not [word for word in ("LOAD REPORT", "Loading weights", "Warning") if word in said]


def test_stock_peft_finds_the_plans_ranks(finished: tuple[Path, Result]):
    folder = finished[0]
    plan = json.loads((folder / "data/plans/explicit-2/questions.json").read_text())
    for seed in (0, 1):
        base = AutoModelForSequenceClassification.from_pretrained(
            folder / "data/model", num_labels=3
        )
        model = PeftModel.from_pretrained(
            base, folder / f"data/adapters/questions/explicit-2/seed-{seed}"
        )
        got = {name: (one.rank, one.scale) for name, one in read_ranks(model).items()}
        assert got == {m["name"]: (m["rank"], 2.0) for m in plan["modules"] if m["rank"]}


def test_another_name_of_the_base_trains_nothing_again(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    write_project(pico_model)
    assert finetune().exit_code == 0
    before = files("data/adapters") | files("data/curves")
    config = "data/adapters/questions/explicit-2/seed-0/adapter_config.json"
    assert json.loads(before[config])["base_model_name_or_path"] is None
    source = {"source": "hf:org/small@main", "revision": "0123abc"}
    Path("data/sources/model.json").write_text(json.dumps(source))
    result = finetune()
    assert "seeds 0, 1 taken from the scratch store" in result.stderr
    after = files("data/adapters") | files("data/curves")
    changed = [path for path in before if before[path] != after[path]]
    assert changed == [config, config.replace("seed-0", "seed-1")] and after.keys() == before.keys()
    read = PeftConfig.from_pretrained(str(Path(config).parent))
    assert (read.base_model_name_or_path, read.revision) == ("org/small", "0123abc")


def test_every_seed_has_a_record_of_what_was_trained(finished: tuple[Path, Result]):
    folder, _ = finished
    plan = json.loads((folder / "data/plans/explicit-2/questions.json").read_text())
    for seed in (0, 1):
        record = json.loads(
            (folder / f"data/adapters/questions/explicit-2/seed-{seed}/trained.json").read_text()
        )
        assert record == {
            "ranks": {m["name"]: m["rank"] for m in plan["modules"] if m["rank"]},
            "parameters": plan["parameters"],
            "peak_parameters": plan["parameters"],
            "head_parameters": 99,
            "learning_rate": 2e-2,
        }
    rates = json.loads(
        (folder / "data/adapters/questions/explicit-2/learning_rates.json").read_text()
    )
    assert rates == {
        "learning_rate": 2e-2,
        "rate_ratio": 1.0,
        "select_by": "loss",
        "tried": [],
        "tuning_seed": None,
    }


def test_the_same_again_is_the_same_bytes(finished: tuple[Path, Result]):
    folder, _ = finished
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = files("data/adapters") | files("data/curves")
        assert len(before) == 10
        shutil.rmtree("data/adapters")
        finetune()
        assert files("data/adapters") | files("data/curves") == before


@pytest.mark.usefixtures("project")
def test_an_interrupted_run_leaves_nothing(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adarank.pipeline.running.one_run.write_tsv", full)
    result = finetune()
    assert result.exit_code == 1 and "disk is full" in result.stderr
    assert files("data/adapters") == files("data/curves") == {}


@pytest.mark.usefixtures("project")
def test_a_plan_for_another_model_is_refused():
    config = Path("data/model/config.json")
    config.write_text(config.read_text().replace("gelu", "relu"))
    result = finetune()
    assert result.exit_code == 2 and "another model" in result.stderr
    assert not Path("data/adapters").exists()


@pytest.mark.usefixtures("project")
def test_a_plan_that_is_not_there_is_named():
    result = CliRunner().invoke(
        app, ["--task", "questions", "--strategy", "explicit", "--budget", "3"]
    )
    assert result.exit_code == 2 and "data/plans/explicit-3/questions.json" in result.stderr


@pytest.mark.usefixtures("project")
def test_every_bad_parameter_is_told_at_once():
    write_params(seeds=[0, 3, 3], learning_rate=-1.0, schedule="zigzag", warmup=1, bf16="maybe")
    result = finetune()
    assert result.exit_code == 2
    for told in ("study.seeds", "more than once: 3", "learning_rate", "schedule", "bf16"):
        assert told in result.stderr
    assert "finetune.warmup: unknown key" in result.stderr


@pytest.mark.parametrize("seeds", [[], [-1], [True]])
@pytest.mark.usefixtures("project")
def test_seeds_are_whole_numbers_and_at_least_one(seeds: list[int]):
    write_params(seeds=seeds)
    result = finetune()
    assert result.exit_code == 2 and "study.seeds" in result.stderr


@pytest.mark.usefixtures("project")
def test_a_metric_that_the_task_lacks_is_refused_before_training():
    write_params(select_by="bleu")
    result = finetune()
    assert result.exit_code == 2 and "one of: loss, accuracy" in result.stderr


@pytest.mark.usefixtures("project")
def test_a_divergent_run_stops_at_its_step_and_is_recorded_for_every_seed():
    write_params(learning_rate=1e30, max_grad_norm=0.0)
    result = finetune()
    assert result.exit_code == 0, result.output
    for seed in (0, 1):
        told = json.loads(
            Path(f"data/adapters/questions/explicit-2/seed-{seed}/failed.json").read_text()
        )
        assert told["error"].startswith("step ")
    assert "seed 0: FAILED" in result.stderr and "seed 1: FAILED" in result.stderr


def rates() -> dict[str, Any]:
    return json.loads(Path("data/adapters/questions/explicit-2/learning_rates.json").read_text())


@pytest.mark.usefixtures("project")
def test_the_best_of_several_rates_is_used_for_every_seed():
    rates_given = [1e-6, 1e30, 2e-2]
    write_params(seeds=[0], learning_rate=rates_given, max_grad_norm=0.0, select_by="headline")
    result = finetune()
    assert result.exit_code == 0, result.output
    told = rates()
    low, diverged, best = told["tried"]
    assert (told["learning_rate"], told["tuning_seed"]) == (2e-2, [99])
    assert told["select_by"] == "accuracy"
    assert low["value"] < best["value"] and best["value"] == best["validation"]["accuracy"]
    assert diverged["value"] is None and diverged["error"].startswith("step ")
    assert f"learning rate 1e+30, seed 99: {diverged['error']}" in result.stderr
    # Four runs of 8 steps: three tries and a seed.
    assert "32/32" in result.stderr
    curve = pd.read_csv("data/curves/questions/explicit-2/seed-0.tsv", sep="\t")
    assert curve["learning_rate"].max() == pytest.approx(2e-2)
    record = json.loads(Path("data/adapters/questions/explicit-2/seed-0/trained.json").read_text())
    assert record["learning_rate"] == 2e-2
    assert not Path("data/adapters/questions/explicit-2/seed-99").exists()


@pytest.mark.usefixtures("project")
def test_rates_that_all_diverge_are_named():
    write_params(learning_rate=[1e29, 1e30], max_grad_norm=0.0)
    result = finetune()
    assert result.exit_code == 1
    assert "1e+29: step" in result.stderr and "1e+30: step" in result.stderr
    assert files("data/adapters") == {}


@pytest.mark.usefixtures("project")
def test_the_tuning_seed_is_none_of_the_studys():
    write_params(learning_rate=[1e-2, 2e-2], tuning_seed=1)
    result = finetune()
    assert result.exit_code == 2
    assert "finetune.tuning_seed and study.seeds" in result.stderr
    write_params(seeds=[1], learning_rate=[1e-2], tuning_seed=1, steps=1)
    assert finetune().exit_code == 0, "nothing is tuned, so nothing is tried with it"


@pytest.mark.parametrize("rate", [[], [1e-3, 1e-3], [1e-3, 0.0], ["1e-3"], None])
@pytest.mark.usefixtures("project")
def test_rates_are_distinct_numbers_above_zero(rate: Any):
    write_params(learning_rate=rate)
    result = finetune()
    assert result.exit_code == 2 and "finetune.learning_rate" in result.stderr


def test_it_reads_its_own_section_the_task_and_the_seeds():
    from stages.finetune import Params

    assert key_paths(Params) == ["study.seeds", "tasks", "finetune", "model"]


@pytest.mark.usefixtures("project")
def test_a_seed_that_diverges_is_recorded_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    real = runs.train

    def second_diverges(*args: Any, **kwargs: Any) -> Trained:
        if args[5] == 1:
            raise DivergedError(Problem("training has become non-finite", "step 3, module x"))
        return real(*args, **kwargs)

    monkeypatch.setattr(runs, "train", second_diverges)
    result = finetune()
    assert result.exit_code == 0, result.output
    assert "seed 1: FAILED, step 3, module x: training has become non-finite" in result.stderr
    folder = Path("data/adapters/questions/explicit-2")
    assert (folder / "seed-0/trained.json").exists()
    assert [path.name for path in (folder / "seed-1").iterdir()] == ["failed.json"]
    assert json.loads((folder / "seed-1/failed.json").read_text()) == {
        "error": "step 3, module x: training has become non-finite",
        "parameters": json.loads(Path("data/plans/explicit-2/questions.json").read_text())[
            "parameters"
        ],
        "head_parameters": 99,
        "learning_rate": 2e-2,
    }


def test_what_training_cost_is_timed_beside_the_results(finished: tuple[Path, Result]):
    told = json.loads((finished[0] / "timings/finetune-questions-explicit-2.json").read_text())
    rows = pd.read_parquet(finished[0] / "data/tasks/questions/train.parquet")
    # Two seeds of eight steps of eight rows (the last batch of an epoch has six), two tokens or
    # more each.
    assert told["tokens"] >= 2 * 60 * 2
    assert told["tokens"] <= 2 * 64 * max(len(text.split()) + 2 for text in rows["text"])
    assert told["tokens_per_second"] == pytest.approx(
        told["tokens"] / told["training_seconds"], rel=0.05
    )
    assert 0 < told["training_seconds"] < told["seconds"]


def begin_along(start: str, sign: float = 1.0) -> None:
    """Have the cell's factors begin along the first axes."""
    path = Path("data/plans/explicit-2/questions.json")
    plan = json.loads(path.read_text()) | {"start": start}
    write_json(path, plan)
    rows = {
        module["name"]: sign * torch.eye(module["rank"], 64 if module["kind"] == "down" else 32)
        for module in plan["modules"]
        if module["rank"]
    }
    save_file(rows, path.with_suffix(".safetensors"))


def a_of(seed: int) -> dict[str, torch.Tensor]:
    saved = load_file(f"data/adapters/questions/explicit-2/seed-{seed}/adapter_model.safetensors")
    return {name: value for name, value in saved.items() if "lora_A" in name}


@pytest.mark.usefixtures("project")
def test_factors_begin_along_the_plans_directions_whatever_the_seed():
    write_params(learning_rate=1e-7, steps=2, evaluate_every=2)
    begin_along("gradient")
    assert finetune().exit_code == 0
    for rows in a_of(0).values():
        assert torch.allclose(rows, torch.eye(*rows.shape) / 3**0.5, atol=1e-5)
    assert all(torch.allclose(a_of(1)[name], rows, atol=1e-5) for name, rows in a_of(0).items())
    # Other directions are other work, whatever the scratch store holds.
    begin_along("gradient", sign=-1.0)
    shutil.rmtree("data/adapters")
    assert finetune().exit_code == 0
    for rows in a_of(0).values():
        assert torch.allclose(rows, torch.eye(*rows.shape) / -(3**0.5), atol=1e-5)


@pytest.mark.usefixtures("project")
def test_directions_that_are_absent_are_named():
    begin_along("inputs")
    Path("data/plans/explicit-2/questions.safetensors").unlink()
    result = finetune()
    assert result.exit_code == 2
    assert "data/plans/explicit-2/questions.safetensors" in result.output


@pytest.mark.usefixtures("project")
def test_a_plans_rate_ratio_goes_before_the_sections():
    def b_of(**finetune_section: Any) -> float:
        write_params(steps=1, evaluate_every=1, seeds=[0], warmup_fraction=0.0, **finetune_section)
        shutil.rmtree("data/adapters", ignore_errors=True)
        assert finetune().exit_code == 0
        saved = load_file("data/adapters/questions/explicit-2/seed-0/adapter_model.safetensors")
        return max(float(v.abs().max()) for name, v in saved.items() if "lora_B" in name)

    assert b_of() == pytest.approx(2e-2, rel=1e-3)
    assert b_of(rate_ratio=4.0) == pytest.approx(8e-2, rel=1e-3)
    path = Path("data/plans/explicit-2/questions.json")
    write_json(path, json.loads(path.read_text()) | {"rate_ratio": 2.0})
    assert b_of(rate_ratio=4.0) == pytest.approx(4e-2, rel=1e-3)


@pytest.mark.usefixtures("project")
def test_ratios_are_tuned_with_the_rates_over_several_seeds():
    write_params(
        steps=2,
        evaluate_every=2,
        seeds=[0],
        learning_rate=[1e-6, 2e-2],
        rate_ratio=[1.0, 4.0],
        tuning_seed=[98, 99],
    )
    result = finetune()
    assert result.exit_code == 0, result.output
    told = rates()
    at = [(t["rate_ratio"], t["learning_rate"], t["seed"]) for t in told["tried"]]
    assert at == [(k, r, s) for k in (1.0, 4.0) for r in (1e-6, 2e-2) for s in (98, 99)]
    means = {
        both: sum(
            t["value"] for t in told["tried"] if (t["learning_rate"], t["rate_ratio"]) == both
        )
        for both in {(r, k) for k, r, _ in at}
    }
    best = min(means, key=lambda both: means[both])
    assert (told["learning_rate"], told["rate_ratio"]) == best and best[0] == 2e-2
    assert told["tuning_seed"] == [98, 99]
    assert "18/18" in result.stderr, "eight tries and a seed, two steps each"
    path = Path("data/plans/explicit-2/questions.json")
    write_json(path, json.loads(path.read_text()) | {"rate_ratio": 2.0})
    assert finetune().exit_code == 0
    assert {t["rate_ratio"] for t in rates()["tried"]} == {2.0}, "the plan's own goes before"
