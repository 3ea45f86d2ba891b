"""The evaluate stage: what it measures is what the predictions say, for verified adapters."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from sklearn import metrics as sk
from typer.testing import CliRunner, Result

from adarank.pipeline.artifacts.cell import Cell
from adarank.pipeline.artifacts.measured import read_cell
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import read_json, write_json
from adarank.pipeline.params.loader import load
from adarank.pipeline.running.measured_rows import measured_row, non_finite
from adarank.tasks.cut import cut_in_words
from stages import evaluate, finetune
from tests.cells import LABELS, files, write_params, write_project
from tests.plans import plan_json
from tests.schemas import key_paths

CELL = ["--task", "questions", "--strategy", "explicit", "--budget", "2"]
NAME = "questions/explicit-2"
OUTPUTS = (
    "data/predictions/questions/explicit-2.parquet",
    "metrics/cells/questions/explicit-2.json",
    "metrics/confusion/questions/explicit-2.tsv",
)


def run_evaluate() -> Result:
    return CliRunner().invoke(evaluate.app, CELL)


@pytest.fixture(scope="module")
def project(
    pico_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Result]]:
    """A project whose cell has been trained and measured; the current folder of each test."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project(pico_model)
        finetune.run(load(finetune.Params, Path("params.yaml")), Cell("questions", "explicit", "2"))
        yield folder, run_evaluate()


@pytest.fixture(autouse=True)
def here(project: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project[0])


def cell() -> dict[str, Any]:
    return read_cell(NAME)


def test_it_measures_every_seed_on_every_split(project: tuple[Path, Result]):
    assert project[1].exit_code == 0, project[1].output
    rows = {(row["seed"], row["split"]): row["n"] for row in cell()["seeds"]}
    n = {"validation": 12, "test": 15, "train": 10}
    assert rows == {(seed, split): n[split] for seed in (0, 1) for split in n}
    said = project[1].stderr
    assert "seed 1, test (15 rows): loss" in said
    assert not [word for word in ("LOAD REPORT", "Loading weights", "Warning") if word in said]


def test_cut_rows_are_counted_by_split_and_said(project: tuple[Path, Result]):
    rows = {"validation": 12, "test": 15, "train": 10}
    cut = cell()["cut"]
    assert {split: counts["rows"] for split, counts in cut.items()} == rows
    assert all(counts["unanswered"] == 0 for counts in cut.values())
    assert cut_in_words(cut) == [
        line.removeprefix(f"evaluate {NAME}: ")
        for line in project[1].stderr.splitlines()
        if "are cut" in line
    ]


def test_rows_of_which_nothing_counts_are_not_among_those_measured():
    table = pd.DataFrame({"tokens": [3, 0, 1], "loss": [1.0, float("nan"), 2.0]})
    task = SimpleNamespace(headline="loss", metrics=lambda _table: {"loss": 1.5})
    assert measured_row(task, 0, {"split": "test"}, table)["n"] == 2
    assert measured_row(task, 0, {"split": "test"}, table.drop(columns="tokens"))["n"] == 3


def test_metrics_are_those_of_the_predictions():
    predictions = read_parquet(Path(OUTPUTS[0]))[0]
    assert len(predictions) == 2 * (12 + 15)
    names = ["seed", "split", "row", "label", "predicted", "loss", "p_0", "p_1", "p_2"]
    assert list(predictions) == names
    for row in cell()["seeds"]:
        if row["split"] == "train":
            continue
        mine = predictions[
            (predictions["seed"] == row["seed"]) & (predictions["split"] == row["split"])
        ]
        assert row["accuracy"] == pytest.approx((mine["label"] == mine["predicted"]).mean())
        assert row["loss"] == pytest.approx(mine["loss"].mean())
        assert row["matthews"] == pytest.approx(
            sk.matthews_corrcoef(mine["label"], mine["predicted"])
        )
        p = mine[["p_0", "p_1", "p_2"]].to_numpy(dtype="float64")
        expected = sk.roc_auc_score(mine["label"], p / p.sum(1, keepdims=True), multi_class="ovr")
        assert row["auc"] == pytest.approx(expected)


def test_rows_are_the_datasets():
    predictions = read_parquet(Path(OUTPUTS[0]))[0]
    for split in ("validation", "test"):
        labels = read_parquet(Path(f"data/tasks/questions/{split}.parquet"))[0]["label"]
        for seed in (0, 1):
            mine = predictions[(predictions["seed"] == seed) & (predictions["split"] == split)]
            assert mine["label"].tolist() == labels.tolist()


def test_validation_is_what_training_saw_at_its_best_step():
    for row in cell()["seeds"]:
        if row["split"] == "validation":
            curve = pd.read_csv(
                f"data/curves/questions/explicit-2/seed-{row['seed']}.tsv", sep="\t"
            )
            looks = curve.dropna(subset=["validation_loss"])
            best = looks.loc[looks["validation_loss"].idxmin()]
            assert row["loss"] == pytest.approx(best["validation_loss"], rel=1e-5)
            assert row["accuracy"] == best["validation_accuracy"]


def test_parameters_are_read_back_and_apart():
    plan = read_json(Path("data/plans/explicit-2/questions.json"))
    assert cell()["trainable_parameters"] == plan["parameters"]
    assert cell()["head_parameters"] == 99
    assert (cell()["cell"], cell()["strategy"], cell()["budget"]) == (NAME, "explicit", 2)


def test_the_record_tells_how_the_cell_is_judged_and_was_tuned():
    told = cell()
    assert (told["headline"], told["better"], told["tuner"]) == ("accuracy", "higher", "lora")
    assert (told["learning_rate"], told["tuned"]) == (2e-2, [])
    assert told["peak_parameters"] == told["trainable_parameters"]
    assert all(row["headline"] == row["accuracy"] for row in told["seeds"])
    assert all("headline" not in row for row in told["gap"])


@pytest.mark.parametrize("tuner", ["adalora", "eva", "full", "growing"])
def test_every_tuner_is_loaded_and_measured(
    tuner: str, pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    path = Path("data/plans/explicit-2/questions.json")
    digest = read_json(path)["model_sha256"]
    rank = 0 if tuner == "full" else 2
    plan = plan_json(pico_model, lambda _: rank, tuner=tuner, model_sha256=digest)
    write_json(path, plan)
    write_params(seeds=[0])
    finetune.run(load(finetune.Params, Path("params.yaml")), Cell("questions", "explicit", "2"))
    result = run_evaluate()
    assert result.exit_code == 0, result.output
    told = cell()
    record = read_json(Path("data/adapters/questions/explicit-2/seed-0/trained.json"))
    assert (told["tuner"], told["trainable_parameters"]) == (tuner, record["parameters"])
    assert told["peak_parameters"] == record["peak_parameters"]
    assert (told["peak_parameters"] > record["parameters"]) == (tuner in ("adalora", "growing"))
    if tuner == "growing":  # equal parameters, not an equal sum of ranks
        assert record["parameters"] == plan["parameters"]
        assert plan["parameters"] < told["mean_parameters"] < told["peak_parameters"]
        ranks = pd.read_csv("data/curves/questions/explicit-2/ranks-0.tsv", sep="\t")
        last = ranks[ranks["step"] == ranks["step"].max()].set_index("module")["rank"]
        assert last[last > 0].to_dict() == record["ranks"]
    else:
        assert "mean_parameters" not in told
        assert sum(record["ranks"].values()) == (0 if tuner == "full" else 24)
    validation = next(row for row in told["seeds"] if row["split"] == "validation")
    looks = pd.read_csv("data/curves/questions/explicit-2/seed-0.tsv", sep="\t")["validation_loss"]
    assert ((looks - validation["loss"]).abs() < 1e-5).any()
    before = files("metrics") | files("data/predictions")
    run_evaluate()
    assert files("metrics") | files("data/predictions") == before


def test_a_record_that_is_not_of_these_weights_is_refused():
    path = Path("data/adapters/questions/explicit-2/seed-1/trained.json")
    record = path.read_bytes()
    write_json(path, read_json(path) | {"parameters": 7})
    result = run_evaluate()
    path.write_bytes(record)
    assert result.exit_code == 2
    assert "seed-1" in result.stderr and "'parameters': 7" in result.stderr


def test_gap_is_train_less_test():
    rows = {(row["seed"], row["split"]): row for row in cell()["seeds"]}
    for gap in cell()["gap"]:
        train, test = rows[gap["seed"], "train"], rows[gap["seed"], "test"]
        assert gap["accuracy"] == pytest.approx(train["accuracy"] - test["accuracy"])
        assert gap["loss"] == pytest.approx(train["loss"] - test["loss"])
        assert (gap["n_train"], gap["n_test"]) == (10, 15)


def test_gap_is_none_where_a_metric_is():
    rows = [
        {"seed": 0, "split": "train", "n": 4, "auc": 0.9},
        {"seed": 0, "split": "test", "n": 4, "auc": None},
    ]
    assert evaluate.gap(rows, ["auc"])["auc"] is None


def test_confusion_has_a_row_per_test_prediction():
    table = pd.read_csv(OUTPUTS[2], sep="\t")
    test = read_parquet(Path(OUTPUTS[0]))[0].query("split == 'test'")
    assert list(table) == ["actual", "predicted"] and len(table) == 30
    assert table["actual"].tolist() == [LABELS[label] for label in test["label"]]
    assert table["predicted"].tolist() == [LABELS[label] for label in test["predicted"]]


def test_the_same_again_is_the_same_bytes():
    before = files("metrics") | files("data/predictions")
    assert set(before) == set(OUTPUTS)
    run_evaluate()
    assert files("metrics") | files("data/predictions") == before


def test_all_train_rows_when_none_are_counted():
    write_params(evaluate={"train_rows": None})
    assert run_evaluate().exit_code == 0
    assert {row["n"] for row in cell()["seeds"] if row["split"] == "train"} == {30}
    write_params()
    run_evaluate()


def test_an_adapter_that_is_not_the_plans_is_refused(pico_model: Path):
    path = Path("data/plans/explicit-2/questions.json")
    plan = path.read_bytes()
    digest = json.loads(plan)["model_sha256"]
    before = files("metrics")
    write_json(path, plan_json(pico_model, lambda _: 2, model_sha256=digest))
    result = run_evaluate()
    path.write_bytes(plan)
    assert result.exit_code == 1
    assert "differs from the plan" in result.stderr and "attention.self.key" in result.stderr
    assert files("metrics") == before


def test_an_adapter_that_is_not_there_is_told():
    write_params(seeds=[0, 1, 7])
    result = run_evaluate()
    write_params()
    assert result.exit_code == 2 and "data/adapters/questions/explicit-2/seed-7" in result.stderr


def test_it_reads_its_own_section_and_whole_others():
    read = ["study.seeds", "tasks", "finetune", "evaluate", "model"]
    assert key_paths(evaluate.Params) == read


@pytest.fixture
def of_failed_seeds(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which every seed failed."""
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    record = {"error": "step 3: why", "parameters": 7, "head_parameters": 99, "learning_rate": 1.0}
    for seed in (0, 1):
        write_json(Path(f"data/adapters/questions/explicit-2/seed-{seed}/failed.json"), record)
    rates = {"learning_rate": 1.0, "tried": []}
    write_json(Path("data/adapters/questions/explicit-2/learning_rates.json"), rates)
    return tmp_path


def test_a_cell_of_which_every_seed_failed_says_so(of_failed_seeds: Path):
    result = run_evaluate()
    assert result.exit_code == 0, result.output
    record = read_cell(NAME)
    assert record["failed"] == [{"seed": seed, "error": "step 3: why"} for seed in (0, 1)]
    assert record["seeds"] == record["gap"] == []
    assert record["trainable_parameters"] == record["peak_parameters"] == 7
    assert len(read_parquet(of_failed_seeds / OUTPUTS[0])[0]) == 0
    assert (of_failed_seeds / OUTPUTS[2]).read_text() == "actual\tpredicted\n"


def test_a_cell_without_failures_says_so():
    assert cell()["failed"] == []


def test_dvc_can_draw_a_record_for_it_has_no_empty_list():
    stored = json.loads(Path(OUTPUTS[1]).read_text())
    assert stored["failed"] is None and [] not in stored.values()


def test_predictions_that_are_not_finite_fail_their_seed_alone(monkeypatch: pytest.MonkeyPatch):
    real = evaluate.predict
    calls = [0]

    def spoilt(*args: Any, **kwargs: Any) -> pd.DataFrame:
        table = real(*args, **kwargs)
        calls[0] += 1
        # The second seed's test rows, after three splits of the first.
        if calls[0] == 5:
            table.loc[[1, 2], "loss"] = [float("nan"), float("inf")]
        return table

    before = files("metrics") | files("data/predictions")
    monkeypatch.setattr(evaluate, "predict", spoilt)
    result = run_evaluate()
    told = cell()
    for name, data in before.items():
        Path(name).write_bytes(data)
    assert result.exit_code == 0, result.output
    assert told["failed"] == [{"seed": 1, "error": "test: 2 of 15 predictions are not finite"}]
    assert {row["seed"] for row in told["seeds"]} == {0}
    assert "seed 1: FAILED, test: 2 of 15" in result.stderr


def test_a_row_of_which_nothing_counts_is_no_fault():
    table = pd.DataFrame({"loss": [0.5, float("nan")], "tokens": [3, 0]})
    assert non_finite({"test": table}) is None
    assert non_finite({"test": table.assign(tokens=[3, 1])}) is not None


def test_a_measured_seed_is_taken_from_the_scratch_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = files("metrics") | files("data/predictions")
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    run_evaluate()
    assert files("metrics") | files("data/predictions") == before
    monkeypatch.setattr(evaluate, "predict", None)
    result = run_evaluate()
    assert "evaluate questions/explicit-2: seeds 0, 1 taken from the scratch store" in result.stderr
    assert files("metrics") | files("data/predictions") == before
