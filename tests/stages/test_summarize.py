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


def write_cell(strategy: str, accuracies: list[float], parameters: int = 1000) -> None:
    rows = [
        {"seed": seed, "split": split, "n": 9, "loss": 1 - a, "accuracy": a, "macro_f1": a / 2}
        for seed, a in enumerate(accuracies)
        for split in ("validation", "test")
    ]
    record: dict[str, Any] = {
        "cell": f"{strategy}-4",
        "strategy": strategy,
        "budget": 4.0,
        "trainable_parameters": parameters,
        "head_parameters": 10,
        "seeds": rows,
    }
    write_json(Path(f"metrics/cells/{strategy}-4.json"), record)


def params(*strategies: str, seeds: int = 3) -> Params:
    return Params(study=Study(strategies=list(strategies), budgets=[4], seeds=list(range(seeds))))


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
        "notes",
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
    assert table["accuracy"].tolist() == pytest.approx([0.82, 0.83])


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
