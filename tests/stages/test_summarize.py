"""The summary's files, and the table made of them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from adarank.errors import InputError
from adarank.pipeline.artifacts.summary import read_summary
from adarank.pipeline.console.summary_table import SummaryTable
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.params.study import StudySection
from stages.summarize import Params, app, run


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
        "cell": f"questions/{strategy}-4",
        "task": "questions",
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
        "failed": [],
        "seeds": rows,
    }
    write_json(Path(f"metrics/cells/questions/{strategy}-4.json"), record | changed)


def params(*strategies: str, seeds: int = 3, reference: str = "uniform") -> Params:
    study = {
        "tasks": ["questions"],
        "signals": ["disagreement"],
        "task_signals": [],
        "strategies": list(strategies),
        "reference": reference,
        "budgets": [4],
        "seeds": list(range(seeds)),
    }
    return Params(study=StudySection(**study))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_cell("uniform", [0.80, 0.82, 0.84])
    write_cell("disagreement", [0.81, 0.83, 0.85])
    write_dataset([0, 0, 1], [0, 0, 1, 1])
    return tmp_path


def write_dataset(train: list[int], test: list[int], source: str = "file:questions") -> None:
    """Write labels alone: what is answered by constant answers."""
    description = {"type": "classification", "labels": ["a", "b"]}
    write_json(Path("data/tasks/questions/task.json"), description)
    for split, labels in (("train", train), ("test", test)):
        rows = pd.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels})
        write_parquet(Path(f"data/tasks/questions/{split}.parquet"), rows)
    write_json(Path("data/sources/tasks/questions.json"), {"source": source})


def shown(width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(SummaryTable(read_summary().of("questions")))
    return capture.get()


def rows_shown() -> list[list[str]]:
    """The table's rows, recognised by their second column, which is a count of parameters."""
    rows = [line.split() for line in shown().splitlines()]
    return [row for row in rows if len(row) > 2 and "-4" in row[0] and row[1] == "1,000"]


def test_summary_holds_the_headline_with_interval_and_paired_gain() -> None:
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    cell, (one,) = summary["cells"]["questions/disagreement-4"], summary["comparisons"]
    accuracy = cell["metrics"]["accuracy"]
    assert (cell["n"], cell["trainable_parameters"], accuracy["mean"]) == (3, 1000, 0.83)
    assert accuracy["low"] < 0.83 < accuracy["high"] and accuracy["sd"] == 0.02
    assert (one["cell"], one["against"], one["role"]) == (
        "disagreement-4",
        "uniform-4",
        "reference",
    )
    assert one["difference"] == one["low"] == one["high"] == one["gain"] == 0.01
    assert cell["metrics"]["loss"]["mean"] == 0.17
    assert (summary["split"], summary["confidence"], summary["seeds"]) == ("test", 0.95, [0, 1, 2])


def test_only_the_studys_cells_are_taken() -> None:
    write_cell("reversed", [0.1, 0.1, 0.1])
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert set(summary["cells"]) == {"questions/uniform-4", "questions/disagreement-4"}
    headline = json.loads(Path("metrics/headline.json").read_text())["questions"]
    assert set(headline["accuracy"]) == {
        "uniform-4",
        "disagreement-4",
    }


def test_a_cell_not_evaluated_is_named() -> None:
    with pytest.raises(InputError, match="none for questions/permuted-4"):
        run(params("uniform", "permuted"))


def test_same_input_same_bytes() -> None:
    names = ("summary.json", "headline.json", "comparison.tsv", "frontier.tsv")
    files = [f"metrics/{name}" for name in names]
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
    less = ["difference", "difference_low", "difference_high"]
    assert list(table) == ["task", *columns, "n", "metric", "mean", "low", "high", *less]
    assert table["difference"].iloc[1] == pytest.approx(0.01)
    assert set(table["metric"]) == {"accuracy"}


def test_table_shows_percent_uniform_first_and_the_gain_with_its_sign() -> None:
    run(params("uniform", "disagreement"))
    uniform, disagreement = rows_shown()
    # t(0.975, 2) * 0.02 / sqrt(3) = 0.0497
    assert uniform == ["uniform-4", "1,000", "3", "82.00", "±", "4.97", "-", "-", "-", "41.00"]
    assert disagreement[3:10] == ["83.00", "±", "4.97", "+1.00", "±", "0.00", "0.25"]
    assert disagreement[10:] == ["not", "distinct", "41.50"]


def test_table_fits_a_hundred_columns_without_what_there_is_no_room_for() -> None:
    long = "weighted_gradient_spectrum"
    write_cell(long, [0.2, 0.9], parameters=1_000_000, failed=[{"seed": 2, "error": "NaN"}])
    run(params("uniform", "disagreement", long))
    table = shown(100).split("\n\n")[0]
    assert f"{long}-4" in table and "…" not in table and "macro F1" not in table
    assert "2 of 3" in table and "comparable" in table


def test_table_shouts_unequal_parameters() -> None:
    write_cell("disagreement", [0.81, 0.83, 0.85], parameters=1001)
    run(params("uniform", "disagreement"))
    assert "! Budget 4: NOT EQUAL trainable parameters" in shown()
    said = " ".join(shown().split())
    assert "Not at equal cost: it trains 1,001 parameters, 100.1 % of uniform-4's." in said


def test_one_seed_gives_a_table_without_intervals_and_never_nan() -> None:
    write_cell("uniform", [0.8])
    write_cell("disagreement", [0.9])
    run(params("uniform", "disagreement", seeds=1))
    text = shown()
    assert "nan" not in text.lower() and text.count("±") == 1, "only the title's"
    assert "+10.00" in text and "with one seed, which gives no estimate of the variance" in text
    assert "nan" not in Path("metrics/comparison.tsv").read_text().lower()
    (one,) = json.loads(Path("metrics/summary.json").read_text())["comparisons"]
    assert (one["p"], one["t_p"], one["p_floor"], one["detectable"]) == (1, 1, 1, None)


def test_another_task_has_its_own_metric_and_way() -> None:
    write_cell("uniform", [4.0, 4.2, 4.1], headline="loss", better="lower")
    write_cell("disagreement", [3.9, 4.1, 4.0], headline="loss", better="lower")
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    part = summary["tasks"]["questions"]
    assert (part["headline"], part["better"]) == ("loss", "lower")
    (one,) = summary["comparisons"]
    assert (one["difference"], one["gain"]) == (-0.1, 0.1)
    text = shown()
    assert "lower is better" in text and "percent" not in text
    row = rows_shown()[1]
    assert row[3:5] == ["4.0000", "±"] and row[6] == "-0.1000"


def test_cells_of_different_tasks_are_not_compared() -> None:
    write_cell("disagreement", [0.1, 0.1, 0.1], headline="pearson")
    with pytest.raises(InputError, match="questions/uniform-4 by accuracy, questions/dis"):
        run(params("uniform", "disagreement"))


def test_the_rate_is_shown_where_it_was_tuned() -> None:
    run(params("uniform", "disagreement"))
    assert "rate" not in shown().splitlines()[2]
    write_cell("disagreement", [0.8, 0.8, 0.8], tuned=[{"learning_rate": 1e-3}, {}])
    run(params("uniform", "disagreement"))
    cells = json.loads(Path("metrics/summary.json").read_text())["cells"]
    cells = {name.removeprefix("questions/"): cell for name, cell in cells.items()}
    assert [cells[n]["tuned"] for n in ("uniform-4", "disagreement-4")] == [False, True]
    assert cells["disagreement-4"]["learning_rate"] == 1e-3
    uniform, other = rows_shown()
    assert (uniform[-1], other[-1]) == ("-", "0.001")


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_a_narrow_terminal_costs_columns_but_no_verdict(width: int) -> None:
    write_cell("disagreement", [0.8, 0.8, 0.8], tuned=[{"learning_rate": 1e-3}, {}])
    run(params("uniform", "disagreement"))
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    head = next(line for line in lines if "p (Holm)" in line)
    at = lines.index(head)
    (row,) = [line for line in lines[at:] if "disagreement-4  " in line]
    assert "verdict" in head and "less uniform's" in head and "distinct" in " ".join(lines[at:])
    assert ("parameters" in head) == ("1,000" in row) == (width >= 100)
    assert "rate" not in head or width >= 100


def test_peers_costs_are_told_plainly() -> None:
    write_cell("eva", [0.8, 0.8, 0.8], parameters=950, tuner="eva")
    run(params("uniform", "disagreement", "eva"))
    assert "eva-4 trains 950 parameters, 95.0 % of uniform's" in shown()
    assert "NOT EQUAL" not in shown()


def test_another_reference_is_taken_from_the_study() -> None:
    run(params("uniform", "disagreement", reference="disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary["comparisons"][0]["difference"] == -0.01
    assert summary["reference"] == "disagreement" and "less disagreement's" in shown()
    headline = json.loads(Path("metrics/headline.json").read_text())
    assert headline["questions"]["less_disagreement"] == {"uniform-4": -0.01}


def test_a_failed_seed_is_no_part_of_a_mean_and_stands_in_every_place() -> None:
    failed = [{"seed": 2, "error": "step 3, output of up: training has become non-finite"}]
    write_cell("disagreement", [0.9, 0.92], failed=failed)
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    cell, (one,) = summary["cells"]["questions/disagreement-4"], summary["comparisons"]
    assert (cell["n"], cell["failed"], cell["metrics"]["accuracy"]["n"]) == (2, failed, 2)
    assert (one["n"], one["difference"], one["verdict"]) == (2, 0.1, "not comparable")
    assert "seed 2 failed (step 3, output of up" in one["sentence"]
    assert "seed 2 failed" in summary["verdict"]
    assert any(
        "seed 2 FAILED: step 3" in one["text"] for one in summary["tasks"]["questions"]["caveats"]
    )


def test_a_cell_of_which_every_seed_failed_is_there_without_metrics() -> None:
    failed = [{"seed": seed, "error": "NaN"} for seed in range(3)]
    write_cell("disagreement", [], failed=failed)
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    cell, (one,) = summary["cells"]["questions/disagreement-4"], summary["comparisons"]
    assert (cell["n"], cell["metrics"], one["n"], one["difference"]) == (0, {}, 0, None)
    assert (one["p"], one["verdict"]) == (None, "not comparable")
    headline = json.loads(Path("metrics/headline.json").read_text())
    assert headline == {"questions": {"accuracy": {"uniform-4": 0.82}, "less_uniform": {}}}
    assert rows_shown()[1][2:5] == ["0", "of", "3"]


def test_times_are_shown_where_they_are_known() -> None:
    run(params("uniform", "disagreement"))
    times = {"seconds": 12.0, "tokens_per_second": 3456.7, "peak_mib": 800.0}
    write_json(Path("timings/finetune-questions-uniform-4.json"), times)
    write_json(Path("timings/score-disagreement.json"), {"seconds": 7.25})
    result = CliRunner().invoke(app, ["--show"])
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines()[::-1] if "questions/uniform-4" in line)
    assert row.split() == ["questions/uniform-4", "12", "3,457", "800"]
    assert "by signal: disagreement 7.2" in result.output


def test_a_study_that_learned_nothing_says_so_first_and_in_the_table() -> None:
    write_dataset([0, 0, 1], [0] * 9 + [1])
    run(params("uniform", "disagreement"))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary["tasks"]["questions"]["baseline"] == {
        "answer": "the commonest label",
        "value": 0.9,
        "not_beaten_by": ["uniform-4", "disagreement-4"],
    }
    said = "No cell beats answering the commonest label (accuracy 90.00 %): nothing was learned"
    assert summary["verdict"].startswith(said) and said in " ".join(shown().split())


def test_a_baseline_that_is_beaten_is_in_the_summary_alone() -> None:
    run(params("uniform", "disagreement"))
    summary = read_summary().of("questions")
    assert summary.baseline is not None and summary.baseline.value == 0.5
    assert summary.baseline.not_beaten_by == () and "commonest" not in summary.verdict


def test_what_weakens_a_study_stands_under_the_table() -> None:
    write_dataset([0, 0, 1], [0, 0, 1, 1], source="builtin:questions")
    run(params("uniform", "disagreement"))
    kinds = [one.kind for one in read_summary().of("questions").caveats]
    assert kinds[:3] == ["no_controls", "rate_not_tuned", "project_data"]
    text = " ".join(shown().split())
    assert "! The data set was made by this project" in text
    assert "! No control in the study for disagreement" in text
