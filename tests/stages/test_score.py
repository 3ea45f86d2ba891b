"""The score stage: what it writes, what it depends on, what it refuses."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from adarank.models.modules import find_modules
from adarank.ordering.learned_order import learned_order
from adarank.pipeline.artifacts.model import load_model
from adarank.pipeline.files.tables import read_parquet, write_parquet
from adarank.pipeline.files.whole import folder_sha256, sha256
from adarank.pipeline.params.signal import SIGNALS
from adarank.scoring.signals.stable_rank import stable_rank
from stages.score import Params, app
from tests.pico import WORDS, pico_bert_config, pico_gpt2_config, pico_rows, save_pico_model
from tests.schemas import key_paths

TOP = Path(__file__).parents[2]
PARAMS: dict[str, Any] = {
    "model": {"source": "not read"},
    "probe": {"source": "probe.txt", "rows": 6, "max_length": 16, "seed": 0},
    "score": {
        "estimator": "exact",
        "modules": ["query", "up"],
        "output": "pooled",
        "trials": 3,
        "sketches": 2,
        "distance": "l1",
        "pairs": "all",
        "reference": "perturbed",
        "noise": {"scale": 1.0, "relative_to": "module", "bias": True},
        "stop": {"relative_error": None, "plan_budget": None},
        "batch_size": 3,
        "memory_gb": None,
        "precision": "float32",
        "seed": 0,
        "device": "cpu",
    },
}
TABLE, METRICS = (
    Path("data/scores/model/disagreement.parquet"),
    Path("metrics/scores/model/disagreement.json"),
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pico_model, "data/model")
    lines = [" ".join(WORDS[row : row + 3 + row % 4]) for row in range(8)]
    Path("probe.txt").write_text("\n".join(lines) + "\n\n")


def call(signal: str = "disagreement", **changed: Any) -> Result:
    params = json.loads(json.dumps(PARAMS))
    for keys, value in changed.items():
        section, _, key = keys.partition("__")
        params[section][key] = value
    with Path("params.yaml").open("w") as stream:
        YAML().dump(params, stream)
    return CliRunner().invoke(app, ["--signal", signal])


def test_writes_the_table_its_model_s_hash_and_a_summary() -> None:
    assert call().exit_code == 0
    table, about = read_parquet(TABLE)
    assert list(table.columns) == [
        *("module", "block", "kind", "d_in", "d_out", "parameters_per_rank", "trial", "score")
    ]
    assert len(table) == 2 * 2 * 3 and set(table["kind"]) == {"query", "up"}
    assert about["model_sha256"] == folder_sha256(Path("data/model"))
    metrics = json.loads(METRICS.read_text())
    assert metrics["engine"] == "replay, trimmed"
    assert metrics["forwards"] == 4 * 3 * 2 * 2
    assert metrics["texts"] == 6 and metrics["texts_cut"] == 0
    for row in metrics["modules"]:
        scores = table[table["module"] == row["module"]]["score"]
        assert row["mean"] == pytest.approx(scores.mean())
        assert row["standard_error"] == pytest.approx(scores.sem())


@pytest.mark.parametrize("estimator", ["exact", "linearized", "as_published"])
def test_two_runs_give_the_same_bytes(estimator: str) -> None:
    hashes = []
    for _ in range(2):
        assert call(score__estimator=estimator).exit_code == 0
        hashes.append((sha256(TABLE), sha256(METRICS)))
    assert hashes[0] == hashes[1]
    assert json.loads(METRICS.read_text())["estimator"] == estimator


@pytest.mark.parametrize("signal", ["linearized", "as_published"])
def test_a_signal_named_after_an_estimator_is_that_whatever_the_section_says(signal: str) -> None:
    assert call(signal).exit_code == 0
    assert call(score__estimator=signal).exit_code == 0
    table, note = read_parquet(Path(f"data/scores/model/{signal}.parquet"))
    assert (note["signal"], note["estimator"]) == (signal, signal)
    same, note = read_parquet(TABLE)
    assert (note["signal"], note["estimator"]) == ("disagreement", signal)
    pd.testing.assert_frame_equal(table, same)


def test_stable_rank_is_of_the_weights_alone() -> None:
    Path("probe.txt").unlink()
    assert call("stable_rank").exit_code == 0
    table, note = read_parquet(Path("data/scores/model/stable_rank.parquet"))
    model = load_model(Path("data/model"))
    modules = find_modules(model, ["query", "up"])
    pd.testing.assert_frame_equal(table, stable_rank(model, modules).table)
    assert note["model_sha256"] == folder_sha256(Path("data/model"))
    metrics = json.loads(Path("metrics/scores/model/stable_rank.json").read_text())
    assert (metrics["engine"], metrics["forwards"], metrics["trials"]) == ("weights", 0, 1)
    first = sha256(Path("data/scores/model/stable_rank.parquet"))
    assert call("stable_rank", score__seed=1).exit_code == 0
    assert sha256(Path("data/scores/model/stable_rank.parquet")) == first


def test_a_learned_order_is_of_the_weights_alone_and_says_what_it_is() -> None:
    Path("probe.txt").unlink()
    result = call("learned_order")
    assert result.exit_code == 0
    table, note = read_parquet(Path("data/scores/model/learned_order.parquet"))
    model = load_model(Path("data/model"))
    ordered = learned_order(model, find_modules(model, ["query", "up"]))
    pd.testing.assert_frame_equal(table, ordered.scores.table)
    assert (note["signal"], note["estimator"]) == ("learned_order", "learned_order")
    metrics = json.loads(Path("metrics/scores/model/learned_order.json").read_text())
    assert (metrics["engine"], metrics["forwards"], metrics["trials"]) == ("weights", 0, 1)
    assert metrics["caveats"] == list(ordered.caveats)
    assert metrics["cyclic_triples"] == ordered.cyclic
    assert all(line in " ".join(result.output.split()) for line in ordered.caveats)
    first = sha256(Path("data/scores/model/learned_order.parquet"))
    assert call("learned_order", score__seed=1).exit_code == 0
    assert sha256(Path("data/scores/model/learned_order.parquet")) == first


def test_an_unknown_signal_is_told() -> None:
    result = call("disagreemint")
    assert result.exit_code == 2 and "stable_rank" in result.output
    assert all(name in result.output for name in SIGNALS)


def test_no_task_is_read() -> None:
    assert key_paths(Params) == ["probe", "score", "model"]


def test_auto_compares_the_output_that_fits_the_model(tmp_path: Path) -> None:
    for config, output in ((pico_bert_config(), "pooled"), (pico_gpt2_config(), "last_hidden")):
        shutil.rmtree("data/model")
        save_pico_model(tmp_path / "data/model", config)
        result = call(score__output="auto", score__modules=["all-linear"])
        assert result.exit_code == 0 and f"output {output}" in result.output, result.output
        auto, metrics = read_parquet(TABLE)[0], json.loads(METRICS.read_text())
        assert metrics["output"] == output
        assert call(score__output=output, score__modules=["all-linear"]).exit_code == 0
        pd.testing.assert_frame_equal(read_parquet(TABLE)[0], auto)


def test_one_trial_has_no_standard_error() -> None:
    assert call(score__trials=1).exit_code == 0
    assert json.loads(METRICS.read_text())["modules"][0]["standard_error"] is None


def test_stopping_early_is_written_down() -> None:
    stop = {"relative_error": 0.9, "plan_budget": None}
    assert call(score__trials=30, score__stop=stop).exit_code == 0
    assert json.loads(METRICS.read_text())["trials"] == 3


def test_bfloat16_reports_its_distance_from_float32() -> None:
    assert call(score__precision="bfloat16").exit_code == 0
    assert 0 < json.loads(METRICS.read_text())["bfloat16_error"] < 0.2


def test_rows_of_the_dataset_can_be_the_probe() -> None:
    write_parquet(Path("data/tasks/questions/train.parquet"), pico_rows(20))
    assert call(probe__source="data/tasks/questions/train.parquet").exit_code == 0
    first = read_parquet(TABLE)[0]
    assert call(probe__source="data/tasks/questions/train.parquet", probe__seed=1).exit_code == 0
    assert not first["score"].equals(read_parquet(TABLE)[0]["score"])


def test_long_texts_are_counted() -> None:
    result = call(probe__max_length=5)
    assert result.exit_code == 0
    assert json.loads(METRICS.read_text())["texts_cut"] > 0
    assert "longer than probe.max_length and cut" in result.output


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"probe__source": "absent.txt"}, "probe.source"),
        ({"probe__source": "probe.docx"}, "a text a line"),
        ({"probe__rows": 9}, "at most 8"),
        ({"probe__rows": 0}, "probe.rows"),
        ({"score__trials": 0}, "score.trials"),
        ({"score__trials": "5"}, "score.trials"),
        ({"score__modules": ["kwery"]}, "query"),
        ({"score__modules": []}, "score.modules"),
        ({"score__output": "logits"}, "has no head"),
        ({"score__output": "pooler"}, "score.output"),
        ({"score__device": "cuda"}, "auto, cpu"),
        ({"score__estimator": "fast"}, "score.estimator"),
        ({"score__memory_gb": 1e-6}, "at least"),
        ({"score__spare": 1}, "unknown key"),
        ({"score__noise": {"scale": 0.0, "relative_to": "module", "bias": True}}, "score.noise"),
    ],
)
def test_bad_input_is_told_and_leaves_the_old_scores(changed: dict[str, Any], words: str) -> None:
    assert call().exit_code == 0
    before = sha256(TABLE)
    result = call(**changed)
    assert result.exit_code == 2
    assert words in result.output and "Traceback" not in result.output
    assert sha256(TABLE) == before


def test_no_model_and_an_empty_probe_are_told() -> None:
    Path("probe.txt").write_text("\n \n")
    assert "probe.rows" in call().output
    shutil.rmtree("data/model")
    Path("probe.txt").write_text("who is the king\n" * 6)
    result = call()
    assert result.exit_code == 2 and "download@model" in result.output


def test_noise_beyond_what_is_finite_names_the_module() -> None:
    noise = {"scale": 1e38, "relative_to": "absolute", "bias": True}
    result = call(score__noise=noise)
    assert result.exit_code == 1
    assert "encoder.layer.0.attention.self.query" in result.output
    assert "smaller noise scale" in result.output


def test_another_model_s_hash_follows_the_model() -> None:
    call()
    first = read_parquet(TABLE)[1]["model_sha256"]
    shutil.rmtree("data/model")
    save_pico_model(Path("data/model"), seed=1)
    call()
    assert read_parquet(TABLE)[1]["model_sha256"] != first


@pytest.mark.pipeline
def test_two_processes_write_what_one_does() -> None:
    call()
    alone = read_parquet(TABLE)[0]
    TABLE.unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        together |= {"MASTER_PORT": str(free.getsockname()[1]), "PYTHONPATH": str(TOP)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stages.score"],
            env=os.environ | together | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    pd.testing.assert_frame_equal(read_parquet(TABLE)[0], alone)
