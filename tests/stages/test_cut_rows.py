"""Rows that are cut, of the form of worked answers: evaluate, summary and report count them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from adarank.pipeline.artifacts.measured import read_cell
from adarank.pipeline.artifacts.summary import read_summary
from adarank.pipeline.files.tables import read_parquet, write_parquet
from adarank.pipeline.files.whole import folder_sha256, write_json
from stages import evaluate, finetune, report, summarize
from tests.cells import FINETUNE
from tests.pico import WORDS, pico_gpt2_config, save_pico_model
from tests.plans import plan_json

CELL = ["--task", "worked", "--strategy", "uniform", "--budget", "2"]
ROWS = {"train": 30, "validation": 12, "test": 40}
MAX_LENGTH = 24
ROOT = Path(__file__).parents[2]


def worked_answers(n: int, seed: int) -> pd.DataFrame:
    """Questions of 4 to 40 words and answers of 5 to 45, a token a word."""
    draw = np.random.default_rng(seed)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choice(WORDS, int(draw.integers(low, high + 1))))

    rows = [(f"{words(4, 40)} ? ", words(5, 45)) for _ in range(n)]
    return pd.DataFrame(rows, columns=["prompt", "response"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of worked answers, trained, measured, summed up and reported; its folder."""
    folder = tmp_path_factory.mktemp("worked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project()
        printed = ""
        for stage, arguments in (
            (finetune, CELL),
            (evaluate, CELL),
            (summarize, []),
            (report, []),
        ):
            result = CliRunner().invoke(stage.app, arguments)
            assert result.exit_code == 0, result.output
            printed += result.stderr
        Path("printed").write_text(printed, encoding="utf-8")
        yield folder


def write_project() -> None:
    """A pico GPT-2, the task, a plan and params.yaml, below the current folder."""
    model = save_pico_model(Path("data/model"), pico_gpt2_config())
    for seed, (split, n) in enumerate(ROWS.items()):
        write_parquet(Path(f"data/tasks/worked/{split}.parquet"), worked_answers(n, seed))
    source = {"source": "file:worked", "revision": None, "sha256": {}}
    description = {"type": "causal_lm", "rows": ROWS, "dropped": {}, "sha256": {}}
    write_json(Path("data/tasks/worked/task.json"), description | source)
    write_json(Path("data/sources/tasks/worked.json"), source)
    write_json(Path("data/sources/model.json"), source | {"source": "file:pico"})
    plan = plan_json(model, lambda _: 2, model_sha256=folder_sha256(model))
    write_json(Path("data/plans/uniform-2/worked.json"), plan | {"strategy": "uniform"})
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["study"] = params["study"] | {"tasks": ["worked"], "signals": [], "task_signals": []}
    params["study"] |= {"strategies": ["uniform"], "budgets": [2], "seeds": [0, 1]}
    params["tasks"] = {
        "worked": {"source": "file:worked", "type": "causal_lm", "loss_on": "response"}
    }
    params["finetune"] = FINETUNE | {"max_length": MAX_LENGTH}
    with Path("params.yaml").open("w") as stream:
        YAML(typ="safe").dump(params, stream)


def counted_by_hand(split: str) -> tuple[int, int, int]:
    """Rows, those longer than allowed, and those whose answer begins beyond what is kept.

    A row is [CLS]-less words: the prompt's, the response's and the end; the model sees the first
    MAX_LENGTH of them with the tokenizer's own [CLS] before and [SEP] after.
    """
    rows = read_parquet(Path(f"data/tasks/worked/{split}.parquet"))[0]
    prompt = rows["prompt"].str.split().str.len() + 1
    whole = prompt + rows["response"].str.split().str.len() + 1
    return len(rows), int((whole > MAX_LENGTH).sum()), int((prompt >= MAX_LENGTH).sum())


def test_evaluate_summary_and_report_count_the_rows_that_were_cut(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study)
    rows, cut, lost = counted_by_hand("test")
    assert rows > cut > lost > 0
    sentence = (
        f"{cut} of {rows} rows of test are cut (finetune.max_length); {lost} of them lost every "
        f"token that counts, so {rows - lost} rows are measured"
    )
    printed = Path("printed").read_text(encoding="utf-8").splitlines()
    assert f"evaluate worked/uniform-2: {sentence}" in printed
    assert f"summarize: worked: {sentence}." in printed
    assert sentence in [one.text.rstrip(".") for one in read_summary().of("worked").caveats]
    assert sentence in Path("report/index.html").read_text(encoding="utf-8")


def test_n_is_what_was_measured(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    predictions = read_parquet(Path("data/predictions/worked/uniform-2.parquet"))[0]
    for split in ("validation", "test"):
        rows, _, lost = counted_by_hand(split)
        each = [row for row in read_cell("worked/uniform-2")["seeds"] if row["split"] == split]
        assert [row["n"] for row in each] == [rows - lost] * 2
        mine = predictions.query("split == @split and seed == 0")
        assert len(mine) == rows and int((mine["tokens"] > 0).sum()) == rows - lost
        measured = mine[mine["tokens"] > 0]
        mean = measured["nats"].sum() / measured["tokens"].sum()
        assert each[0]["loss"] == pytest.approx(mean)
