"""The report's page: whole, escaped, the same bytes again, and made of whatever there is."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adarank.pipeline.files.whole import read_json, write_json
from stages.report import REPORT, app
from tests.reports import Fixture, add_task, change_summary, write_study, write_timings

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return Path("report/costs.html" if arguments else REPORT).read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Every tag with its attributes, every text outside scripts, and the scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._in: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in is None:
            self.texts.append(data)
        elif self._in == "script":
            self.scripts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def drawings(page: str) -> dict[str, list[dict[str, Any]]]:
    (found,) = re.findall(r'id="drawings">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_the_verdict_comes_first_then_every_sentence_the_table_and_the_figures() -> None:
    write_study(Fixture())
    text = Reader(make()).text
    summary = read_json(Path("metrics/summary.json"))
    said = [summary["verdict"], *(one["sentence"] for one in summary["comparisons"])]
    headings = ["All cells", "Differences, paired", "Accuracy on test, by seed"]
    headings += [
        "at equal trainable parameters",
        "Confusion of labels",
        "Ranks, block",
        "Scores by",
    ]
    headings += ["Training curves", "Error against effective rank", "What made it"]
    order = [text.index(part) for part in [*said, *headings]]
    assert order == sorted(order)


def test_several_tasks_stand_side_by_side_with_their_average() -> None:
    write_study(Fixture())
    assert "Means by task" not in Reader(make()).text
    add_task("second", plus=0.01)
    page = make()
    text, summary = Reader(page).text, read_json(Path("metrics/summary.json"))
    assert "cell questions (accuracy) second (accuracy) average" in text
    for row in summary["across"]["table"]:
        mean = f"{row['average']:.2f}"
        assert f"{row['plan']} {mean} {mean} {mean}" in text
    assert "not distinguishable On average over 2 tasks: nothing." in text
    (heat,) = drawings(page)["gains-across"][0]["data"]
    assert heat["x"] == ["questions", "second"]
    gains = {
        (c["cell"], c["task"]): 100 * c["gain"]
        for c in summary["comparisons"]
        if c["role"] == "reference"
    }
    drawn = {
        (plan, task): heat["z"][i][j]
        for i, plan in enumerate(heat["y"])
        for j, task in enumerate(heat["x"])
    }
    assert drawn == pytest.approx(gains)
    colours = drawings(page)["gains-across"][0]["layout"]["coloraxis"]
    assert colours["cmin"] == -colours["cmax"]


def test_ranks_and_curves_open_on_a_strategy_that_is_neither_reference_nor_control() -> None:
    write_study(Fixture(strategies=("uniform", "permuted", "disagreement")))
    page = make()
    opened = ("ranks", "curves", "confusion", "rank-path")
    for name in (f"{part}-questions" for part in opened):
        assert f'id="{name}-shown">disagreement-4<' in page
    assert page.count('" selected>disagreement-4</option>') == 4
    assert "constant answer: the commonest label" in page


def test_same_inputs_same_bytes_wherever_the_project_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(Fixture(budgets=(0.5, 4)))
    first = make()
    assert make() == first
    moved = shutil.copytree(folder, folder / "elsewhere")
    monkeypatch.chdir(moved)
    (moved / REPORT).unlink()
    assert make() == first
    assert str(folder) not in first


def test_nothing_is_asked_of_the_network() -> None:
    write_study(Fixture())
    page = Reader(make())
    loading = {"src", "href", "srcset", "data", "action"}
    assert [attrs for _, attrs in page.tags if loading & attrs.keys()] == []
    (policy,) = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policy is not None and "default-src 'none'" in policy and "http" not in policy


def test_texts_from_outside_stay_texts() -> None:
    failed = {("disagreement-4", 1): f"{ATTACK} <!-- </script>"}
    write_study(Fixture(failed=failed))
    summary = read_json(Path("metrics/summary.json"))
    cells = summary["cells"] | {
        f"questions/{ATTACK}-4": summary["cells"]["questions/permuted-4"] | {"strategy": ATTACK}
    }
    change_summary(cells=cells, verdict=ATTACK, notes=[ATTACK])
    scores = read_json(Path("metrics/scores/model/disagreement.json"))
    scores["modules"][0] |= {"module": ATTACK, "kind": "</script><!--"}
    write_json(Path("metrics/scores/model/disagreement.json"), scores)
    note = read_json(Path("data/tasks/questions/task.json"))
    write_json(Path("data/tasks/questions/task.json"), note | {"dropped": {"train": {ATTACK: 1}}})
    raw = make()
    page = Reader(raw)
    assert ATTACK not in raw
    assert html.escape(ATTACK) in raw and ATTACK in page.text
    # Two of data, the library, and the page's own three.
    assert sum(tag == "script" for tag, _ in page.tags) == 6
    assert not any("alert" in script for script in page.scripts[2:] if len(script) < 100_000)
    for script in page.scripts[:2]:
        assert "<" not in script
        json.loads(script)


def test_plotly_is_given_no_markup_from_outside() -> None:
    write_study(Fixture())
    summary = read_json(Path("metrics/summary.json"))
    cell = summary["cells"]["questions/permuted-4"] | {"strategy": '<a href="https://x">y</a>'}
    change_summary(cells=summary["cells"] | {"odd-4": cell})
    told = [text for text in strings(drawings(make())["frontier-questions"]) if "href" in text]
    assert told and all("<a" not in text and "&lt;a" in text for text in told)


def test_one_seed_has_no_intervals_and_no_word_of_nan() -> None:
    write_study(Fixture(seeds=(0,)))
    page = make()
    text = Reader(page).text
    assert "nan" not in text.lower().split() and "NaN" not in json.dumps(drawings(page))
    (uniform, *_) = drawings(page)["frontier-questions"][0]["data"]
    assert uniform["error_y"]["array"] == [None]


def test_a_cell_without_a_finished_seed_is_told_everywhere() -> None:
    failed = {("disagreement-4", seed): "training has become non-finite" for seed in range(3)}
    write_study(Fixture(failed=failed))
    page = make()
    text = Reader(page).text
    assert "disagreement-4, seeds 0, 1, 2 : training has become non-finite" in text
    assert "Not drawn, as no seed finished: disagreement-4." in text
    assert "3 of 3 failed" in text and "not comparable" in text
    names = [trace["name"] for trace in drawings(page)["frontier-questions"][0]["data"]]
    assert names == ["uniform", "permuted"]


def test_no_cell_has_a_result() -> None:
    failed = {(f"{s}-4", seed): "lost" for s in Fixture().strategies for seed in range(3)}
    write_study(Fixture(failed=failed))
    page = make()
    assert drawings(page)["frontier-questions"][0]["data"] == []
    assert not {"curves-questions", "seeds-questions"} & drawings(page).keys()


def test_what_is_not_there_is_left_out() -> None:
    write_study(Fixture(strategies=("uniform",), signals=()))
    for folder in ("data/curves", "metrics/cells", "metrics/confusion"):
        shutil.rmtree(folder)
    page = make()
    assert set(drawings(page)) == {"frontier-questions", "ranks-questions"}
    assert "nothing to compare" in Reader(page).text


def test_what_made_it_is_told() -> None:
    write_study(Fixture(budgets=(0.5, 4)))
    text = Reader(make()).text
    for said in (
        "pypi:some-model==1.0/model, revision 1.0",
        "a" * 64,
        "train 5,452 3 with an empty text",
        "data/scores/model/disagreement.parquet",
        "data/plans/permuted-0.5/questions.json",
        "study.budgets 0.5, 4",
        "finetune.learning_rate 0.001",
        "tasks.questions.train_rows null",
        "peft 0.",
    ):
        assert said in text, said


def test_a_label_from_outside_stays_text() -> None:
    write_study(Fixture())
    table = f"actual\tpredicted\n{ATTACK}\tNA\nNA\tNA\n"
    Path("metrics/confusion/questions/uniform-4.tsv").write_text(table)
    page = make()
    assert ATTACK not in page
    told = [text for text in strings(drawings(page)["confusion-questions"]) if "alert" in text]
    assert told and all("<script" not in text for text in told)
    assert "NA" in Reader(page).text


def test_charts_have_a_text_alternative_each() -> None:
    write_study(Fixture())
    page = Reader(make())
    charts = [attrs for tag, attrs in page.tags if attrs.get("class") == "chart"]
    assert [chart["role"] for chart in charts] == ["img"] * 8
    mean = read_json(Path("metrics/summary.json"))["cells"]["questions/uniform-4"]["metrics"][
        "accuracy"
    ]
    (label,) = [one["aria-label"] for one in charts if one["id"] == "frontier-questions"]
    assert label is not None and f"uniform-4: {100 * mean['mean']:.2f} % (" in label
    views = [attrs for tag, attrs in page.tags if attrs.get("class") == "view"]
    assert all(view["data-alt"] for view in views)
    labelled = {attrs["for"] for tag, attrs in page.tags if tag == "label"}
    assert {attrs["id"] for tag, attrs in page.tags if tag in ("select", "input")} == labelled


def test_costs_are_a_page_beside_and_change_nothing_of_the_report() -> None:
    write_study(Fixture())
    before = make()
    write_timings(Fixture())
    assert make() == before
    page = Reader(make("--costs"))
    text = page.text
    assert "Measured on somewhere (2 cores)" in text
    assert any("price-questions" in script for script in page.scripts)
    assert "seconds of training" in text and "44" in text and "2,727" in text
    assert "seconds of training" not in Reader(before).text


def test_costs_without_timings_are_dashes() -> None:
    write_study(Fixture())
    shutil.rmtree("timings", ignore_errors=True)
    page = Reader(make("--costs"))
    assert "–" in page.text and not page.scripts


def test_a_summary_of_another_form_is_refused_with_a_remedy() -> None:
    write_study(Fixture())
    write_json(Path("metrics/summary.json"), {"uniform-4": {"accuracy": 0.8}, "notes": []})
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "dvc repro summarize" in result.output and "Traceback" not in result.output


def test_a_confusion_table_that_is_none_is_refused() -> None:
    write_study(Fixture())
    Path("metrics/confusion/questions/uniform-4.tsv").write_text("true\tpredicted\na\tb\n")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2 and "confusion/questions/uniform-4.tsv" in result.output


def test_a_curve_that_is_none_is_refused() -> None:
    write_study(Fixture())
    Path("data/curves/questions/uniform-4/seed-0.tsv").write_text("")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2 and "seed-0.tsv" in result.output
