"""The summary's files, and the table made of them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from adarank.errors import InputError
from stages.files import write_json
from stages.study import Study
from stages.summarize import Params, run
from stages.summary_table import summary_table


def write_cell(
    strategy: str,
    values: list[float],
    parameters: int = 1000,
    headline: str = "accuracy",
    better: str = "higher",
    **changed: Any,
) -> None:
    rows = [
        {
            "seed": seed,
            "split": split,
            "n": 9,
            "headline": value,
            "loss": 1 - value,
            headline: value,
            "macro_f1": value / 2,
        }
        for seed, value in enumerate(values)
        for split in ("validation", "test")
    ]
    record: dict[str, Any] = {
        "cell": f"{strategy}-4",
        "strategy": strategy,
        "budget": 4.0,
        "tuner": "lora",
        "headline": headline,
        "better": better,
        "trainable_parameters": parameters,
        "peak_parameters": parameters,
        "head_parameters": 10,
        "learning_rate": 1e-3,
        "tuned": [],
        "seeds": rows,
    }
    write_json(Path(f"metrics/cells/{strategy}-4.json"), record | changed)


def params(*strategies: str, seeds: int = 3, reference: str = "uniform") -> Params:
    study = {
        "signals": ["disagreement"],
        "task_signals": [],
        "strategies": list(strategies),
        "reference": reference,
        "budgets": [4],
        "seeds": list(range(seeds)),
    }
    return Params(study=Study(**study))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_cell("uniform", [0.80, 0.82, 0.84])
    write_cell("disagreement", [0.81, 0.83, 0.85])
    return tmp_path


def shown(width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(summary_table(json.loads(Path("metrics/summary.json").read_text())))
    return capture.get()


def test_summary_holds_the_headline_with_interval_and_paired_gain() -> None:
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    cell = summary["disagreement-4"]
    assert (cell["n"], cell["trainable_parameters"], cell["accuracy"]) == (3, 1000, 0.83)
    assert cell["accuracy_low"] < 0.83 < cell["accuracy_high"]
    assert cell["accuracy_difference"] == cell["accuracy_difference_low"] == 0.01
    assert cell["loss"] == 0.17
    assert summary["uniform-4"]["accuracy_difference"] is None
    assert summary["notes"] == []


def test_only_the_studys_cells_are_taken() -> None:
    write_cell("reversed", [0.1, 0.1, 0.1])
    run(params("uniform", "disagreement"))
    assert set(json.loads(Path("metrics/summary.json").read_text())) == {
        "uniform-4",
        "disagreement-4",
        "headline",
        "better",
        "reference",
        "notes",
        "costs",
    }


def test_a_cell_not_evaluated_is_named() -> None:
    with pytest.raises(InputError, match="none for permuted-4"):
        run(params("uniform", "permuted"))


def test_same_input_same_bytes() -> None:
    files = ["metrics/summary.json", "metrics/comparison.tsv", "metrics/frontier.tsv"]
    run(params("uniform", "disagreement"))
    before = [Path(file).read_bytes() for file in files]
    run(params("uniform", "disagreement"))
    assert [Path(file).read_bytes() for file in files] == before


def test_frontier_has_a_row_a_cell() -> None:
    run(params("uniform", "disagreement"))
    table = pd.read_csv("metrics/frontier.tsv", sep="\t")
    assert table["strategy"].tolist() == ["uniform", "disagreement"]
    assert table["mean"].tolist() == pytest.approx([0.82, 0.83])
    columns = ["strategy", "budget", "trainable_parameters", "peak_parameters"]
    assert list(table) == [*columns, "n", "metric", "mean", "low", "high"]
    assert set(table["metric"]) == {"accuracy"}


def test_table_shows_percent_uniform_first_and_the_gain_with_its_sign() -> None:
    run(params("uniform", "disagreement"))
    uniform, disagreement = (line.split() for line in shown().splitlines() if "-4 " in line)
    # t(0.975, 2) * 0.02 / sqrt(3) = 0.0497
    assert uniform == ["uniform-4", "1,000", "3", "82.00", "±", "4.97", "-", "41.00"]
    assert disagreement[3:9] == ["83.00", "±", "4.97", "+1.00", "±", "0.00"]
    assert "!" not in shown()


def test_table_fits_eighty_columns() -> None:
    write_cell("disagreement", [0.2, 0.9, 0.4], parameters=1_000_000)
    run(params("uniform", "disagreement"))
    rows = [line for line in shown(80).splitlines() if "1,000,000" in line]
    assert len(rows) == 2 and "disagreement-4" in rows[0] and "…" not in rows[0]


def test_table_shouts_unequal_parameters() -> None:
    write_cell("disagreement", [0.81, 0.83, 0.85], parameters=1001)
    run(params("uniform", "disagreement"))
    assert "! budget 4: NOT EQUAL trainable parameters" in shown()


def test_one_seed_gives_a_table_without_intervals_and_never_nan() -> None:
    write_cell("uniform", [0.8])
    write_cell("disagreement", [0.9])
    run(params("uniform", "disagreement", seeds=1))
    text = shown()
    assert "nan" not in text.lower() and text.count("±") == 1, "only the title's"
    assert "+10.00" in text
    assert "nan" not in Path("metrics/comparison.tsv").read_text().lower()


def test_another_task_has_its_own_metric_and_way() -> None:
    write_cell("uniform", [4.0, 4.2, 4.1], headline="loss", better="lower")
    write_cell("disagreement", [3.9, 4.1, 4.0], headline="loss", better="lower")
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert (summary["headline"], summary["better"]) == ("loss", "lower")
    assert summary["disagreement-4"]["loss_difference"] == -0.1
    text = shown()
    assert "lower is better" in text and "percent" not in text
    row = next(line for line in text.splitlines() if "disagreement-4" in line).split()
    assert row[3:5] == ["4.0000", "±"] and row[6] == "-0.1000"


def test_cells_of_different_tasks_are_not_compared() -> None:
    write_cell("disagreement", [0.1, 0.1, 0.1], headline="pearson")
    with pytest.raises(InputError, match="uniform-4 by accuracy, disagreement-4 by pearson"):
        run(params("uniform", "disagreement"))


def test_the_rate_is_shown_where_it_was_tuned() -> None:
    run(params("uniform", "disagreement"))
    assert "rate" not in shown().splitlines()[1]
    write_cell("disagreement", [0.8, 0.8, 0.8], tuned=[{"learning_rate": 1e-3}, {}])
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary["disagreement-4"]["learning_rate"] == 1e-3
    uniform, other = (line.split() for line in shown().splitlines() if "-4 " in line)
    assert (uniform[-1], other[-1]) == ("-", "0.001")


def test_peers_costs_are_told_plainly() -> None:
    write_cell("eva", [0.8, 0.8, 0.8], parameters=950, tuner="eva")
    run(params("uniform", "disagreement", "eva"))
    assert "eva-4 trains 950 parameters, 95.0 % of uniform's" in shown()
    assert "!" not in shown()


def test_another_reference_is_taken_from_the_study() -> None:
    run(params("uniform", "disagreement", reference="disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary["uniform-4"]["accuracy_difference"] == -0.01
    assert summary["reference"] == "disagreement" and "less disagreement's" in shown()
