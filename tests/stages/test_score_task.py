"""The score_task stage: the same form as score's, train rows only, every task, what it refuses."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from transformers import PretrainedConfig
from typer.testing import CliRunner, Result

from adarank.allocation.signal import read_signal
from adarank.models.modules import find_modules
from adarank.models.norms import find_bias_norm
from adarank.pipeline.artifacts.model import load_model
from adarank.pipeline.files.tables import read_parquet, write_parquet
from adarank.pipeline.files.whole import folder_sha256, sha256, write_json
from adarank.pipeline.params.probe import sample_texts
from adarank.pipeline.params.signal import TASK_SIGNALS, TaskSignalName
from stages import score
from stages.score_task import CODE, KINDS, Params, app
from tests.cells import LABELS, TASK
from tests.pico import (
    pico_bert_config,
    pico_gpt2_config,
    pico_rows,
    pico_t5_config,
    save_pico_model,
)
from tests.schemas import key_paths

PARAMS: dict[str, Any] = {
    "model": {"source": "not read"},
    "signal": {
        "rows": 20,
        "batch_size": 8,
        "warmup_steps": 12,
        "warmup_learning_rate": 0.05,
        "components": 4,
        "seed": 0,
        "device": "cpu",
    },
    "tasks": {"questions": TASK},
    "probe": {"source": "not read", "rows": 6, "max_length": 16},
    "score": {"trials": 2, "device": "cpu"},
    "finetune": {"max_length": 16},
}
COLUMNS = ["module", "block", "kind", "d_in", "d_out", "parameters_per_rank", "trial", "score"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pico_model, "data/model")
    # No other split is there: they must not be read.
    write_parquet(Path("data/tasks/questions/train.parquet"), pico_rows(24))
    describe(type="classification", labels=LABELS)


def describe(**description: Any) -> None:
    write_json(Path("data/tasks/questions/task.json"), description)


def call(signal: str, **changed: Any) -> Result:
    params = json.loads(json.dumps(PARAMS))
    for keys, value in changed.items():
        *above, key = keys.split("__")
        section = params
        for name in above:
            section = section[name]
        section[key] = value
    with Path("params.yaml").open("w") as stream:
        YAML().dump(params, stream)
    return CliRunner().invoke(app, ["--task", "questions", "--signal", signal])


def scored(signal: str, **changed: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    result = call(signal, **changed)
    assert result.exit_code == 0, result.output
    metrics = json.loads(Path(f"metrics/scores/questions/{signal}.json").read_text())
    return read_parquet(Path(f"data/scores/questions/{signal}.parquet"))[0], metrics


def test_the_schema_reads_whole_sections() -> None:
    read = ["signal", "tasks", "probe", "score", "finetune", "model"]
    assert key_paths(Params) == read
    assert ["task_disagreement", *KINDS] == list(TASK_SIGNALS)


def test_an_edit_of_one_signal_is_none_of_the_others() -> None:
    assert len({*CODE.values()}) == len(CODE)


def test_disagreement_on_the_tasks_own_texts_is_that_of_these_texts() -> None:
    table, metrics = scored("task_disagreement")
    assert (metrics["texts"], metrics["estimator"]) == (6, "exact")
    texts = sample_texts(Path("data/tasks/questions/train.parquet"), 6, seed=0)
    Path("probe.txt").write_text("\n".join(texts))
    yaml = YAML(typ="safe")
    values = yaml.load(Path("params.yaml"))
    values["probe"]["source"] = "probe.txt"
    yaml.dump(values, Path("params.yaml"))
    assert CliRunner().invoke(score.app, []).exit_code == 0
    generic = read_parquet(Path("data/scores/model/disagreement.parquet"))[0]
    assert np.allclose(table["score"], generic["score"], rtol=1e-6)


@pytest.mark.parametrize("signal", KINDS)
def test_a_signal_is_written_in_the_form_of_the_score_stage(signal: TaskSignalName) -> None:
    table, metrics = scored(signal)
    note = read_parquet(Path(f"data/scores/questions/{signal}.parquet"))[1]
    model_hash, model = folder_sha256(Path("data/model")), load_model(Path("data/model"))
    assert note.pop("bias_norm") == asdict(find_bias_norm(model, find_modules(model)))
    assert note == {"signal": signal, "estimator": signal, "model_sha256": model_hash}
    spectrum = KINDS[signal].spectrum
    directions = ["direction"] if signal.endswith("_directions") else []
    components = ["component"] if spectrum else []
    assert list(table.columns) == [*COLUMNS[:-1], *components, "score", *directions]
    modules = find_modules(model)
    assert table["module"].drop_duplicates().tolist() == [m.name for m in modules]
    assert len(table) == len(modules) * (4 if spectrum else 1)
    assert table["trial"].eq(0).all() and table["score"].gt(0).all()
    sums = table.groupby("module", sort=False)["score"].sum()
    assert [row["mean"] for row in metrics["modules"]] == pytest.approx(sums.tolist())
    assert metrics["texts"] == 20 and metrics["forwards"] >= 3
    assert metrics["trials"] == 1 and metrics["modules"][0]["standard_error"] is None


@pytest.mark.parametrize("signal", KINDS)
def test_allocation_can_read_it(signal: TaskSignalName) -> None:
    read = read_signal(scored(signal)[0])
    assert len(read.modules) == 12 and not read.is_constant
    assert (read.components is not None) == KINDS[signal].spectrum


@pytest.mark.parametrize("signal", [name for name in KINDS if KINDS[name].spectrum])
def test_components_descend_and_are_counted_from_0(signal: str) -> None:
    table = scored(signal)[0]
    assert table["component"].dtype == np.int64
    for _, module in table.groupby("module"):
        assert module["component"].tolist() == [0, 1, 2, 3]
        assert module["score"].is_monotonic_decreasing


@pytest.mark.parametrize("signal", KINDS)
def test_two_runs_give_the_same_bytes(signal: str) -> None:
    files = (
        Path(f"data/scores/questions/{signal}.parquet"),
        Path(f"metrics/scores/questions/{signal}.json"),
    )
    hashes = [(scored(signal), [sha256(file) for file in files])[1] for _ in range(2)]
    assert hashes[0] == hashes[1]


def test_the_head_is_warmed_up_before_label_gradients_and_the_losses_are_kept() -> None:
    cold, without = scored("weight_gradient", signal__warmup_steps=0)
    warm, metrics = scored("weight_gradient")
    assert without["warmup"] is None
    assert metrics["warmup"]["steps"] == 12
    assert metrics["warmup"]["loss_after"] < metrics["warmup"]["loss_before"]
    assert not np.allclose(cold["score"], warm["score"], rtol=0.1)


def test_the_seed_draws_the_rows() -> None:
    # Activations know no head: only the rows can differ.
    first = scored("activation_variance")[0]
    assert not first.equals(scored("activation_variance", signal__seed=1)[0])
    whole = [scored("activation_variance", signal__rows=24, signal__seed=s)[0] for s in (0, 1)]
    pd.testing.assert_frame_equal(*whole)


def test_what_is_done_is_told() -> None:
    told = call("fisher", finetune__max_length=6).output
    assert "20 train rows, their text and labels" in told
    assert "warm-up of classifier: loss" in told and "longer than finetune.max_length" in told
    assert "their text alone" in call("activation_variance").output


def texts(n: int) -> pd.DataFrame:
    rows = pico_rows(n)["text"].str.split(n=2)
    return pd.DataFrame({"prompt": rows.str[:2].str.join(" "), "response": rows.str[2]})


def words(n: int) -> pd.DataFrame:
    rows = pico_rows(n, n_labels=2)
    return rows.assign(target=[LABELS[label] for label in rows["label"]])


def numbers(n: int) -> pd.DataFrame:
    rows = pico_rows(n)
    return rows.assign(target=rows["label"] / 2).drop(columns="label")


OTHERS: dict[str, tuple[Callable[[], PretrainedConfig], pd.DataFrame, dict[str, Any]]] = {
    "regression": (pico_bert_config, numbers(24), {"target_mean": 0.5, "target_sd": 0.4}),
    "causal_lm": (pico_gpt2_config, texts(24), {}),
    "seq2seq": (pico_t5_config, words(24), {"labels": LABELS[:2]}),
}


def become(task: str) -> None:
    config, rows, about = OTHERS[task]
    shutil.rmtree("data/model")
    save_pico_model(Path("data/model"), config())
    write_parquet(Path("data/tasks/questions/train.parquet"), rows)
    describe(type=task, **about)


@pytest.mark.parametrize("signal", KINDS)
@pytest.mark.parametrize("task", OTHERS)
def test_every_task_gives_every_signal_whatever_the_batch_size(task: str, signal: str) -> None:
    become(task)
    # A warm-up's steps are of batches, so only without it does nothing differ.
    few, many = (scored(signal, signal__batch_size=n, signal__warmup_steps=0)[0] for n in (1, 20))
    names = [m.name for m in find_modules(load_model(Path("data/model")))]
    assert few["module"].drop_duplicates().tolist() == names
    scale = few["score"].max()
    assert np.allclose(few["score"], many["score"], rtol=1e-3, atol=1e-6 * scale)


def test_a_model_that_writes_with_the_head_it_has_needs_no_warm_up() -> None:
    become("causal_lm")
    assert "no warm-up: no new head" in call("weight_gradient").output
    assert (
        json.loads(Path("metrics/scores/questions/weight_gradient.json").read_text())["warmup"]
        is None
    )


def test_packing_changes_neither_gradients_nor_activations() -> None:
    # Rows in a pack do not see one another, and it is tokens that weigh, not packs.
    become("causal_lm")
    for signal in ("weight_gradient", "activation_variance"):
        packed, plain = (
            scored(signal, tasks__questions__packing=packing)[0] for packing in (True, False)
        )
        assert np.allclose(packed["score"], plain["score"], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"signal__rows": 25}, "at most 24, the rows of data/tasks/questions/train.parquet"),
        ({"signal__rows": 0}, "signal.rows"),
        ({"signal__components": 0}, "signal.components"),
        ({"signal__warmup_steps": -1}, "signal.warmup_steps"),
        ({"signal__warmup_learning_rate": 0.0}, "signal.warmup_learning_rate"),
        ({"signal__warmup_learning_rate": 1.5}, "signal.warmup_learning_rate"),
        ({"signal__device": "cuda"}, "auto, cpu"),
        ({"signal__spare": 1}, "unknown key"),
        ({"score__modules": ["kwery"]}, "query"),
        ({"finetune__max_length": 500}, "at most 64"),
    ],
)
def test_bad_input_is_told_and_leaves_the_old_scores(changed: dict[str, Any], words: str) -> None:
    scored("gradient_spectrum")
    before = sha256(Path("data/scores/questions/gradient_spectrum.parquet"))
    result = call("gradient_spectrum", **changed)
    assert result.exit_code == 2, result.output
    assert words in result.output and "Traceback" not in result.output
    assert sha256(Path("data/scores/questions/gradient_spectrum.parquet")) == before


def test_no_rows_no_dataset_and_no_model_are_told() -> None:
    write_parquet(Path("data/tasks/questions/train.parquet"), pico_rows(24)[:0])
    assert "split without rows" in call("fisher").output
    Path("data/tasks/questions/train.parquet").unlink()
    assert "file not found" in call("fisher").output
    shutil.rmtree("data/model")
    result = call("fisher")
    assert result.exit_code == 2 and "download@model" in result.output


def test_a_warm_up_that_learns_nothing_is_told() -> None:
    told = call("fisher", signal__warmup_learning_rate=1.0, signal__warmup_steps=1).output
    assert "the warm-up learnt nothing: lower signal.warmup_learning_rate" in told


def test_an_unknown_signal_is_told() -> None:
    result = call("fishy")
    assert result.exit_code == 2 and "activation_variance" in result.output
