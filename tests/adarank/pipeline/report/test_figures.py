"""The figures' numbers are the summary's, and those of the files beside it."""

import html
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adarank.errors import InputError
from adarank.pipeline.artifacts.summary import Summary, ordered, read_summary
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.report import numbers
from adarank.pipeline.report.confusion import confusion_chart, read_confusions
from adarank.pipeline.report.curves import POINTS, curve_chart, read_curves, thinned
from adarank.pipeline.report.forest import forest
from adarank.pipeline.report.frontier import ALIKE, clusters, frontier, places
from adarank.pipeline.report.full_table import full_table
from adarank.pipeline.report.look import looks
from adarank.pipeline.report.palette import SYMBOLS, exchange
from adarank.pipeline.report.rank_map import rank_map, read_plans
from adarank.pipeline.report.rank_path import rank_path_chart
from adarank.pipeline.report.scores import read_caveats, read_scores, score_chart
from adarank.pipeline.report.seeds import SeedValue, read_values, seed_chart
from tests.reports import TASK, Fixture, change_summary, full_study, write_study


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary_of(fixture: Fixture) -> Summary:
    write_study(fixture)
    return ordered(read_summary().of(TASK), fixture.strategies, fixture.budgets)


def data(chart: Any, view: int = 0) -> list[dict[str, Any]]:
    return chart.views[view].drawing()["data"]


def test_cells_come_by_budget_with_the_reference_first() -> None:
    write_study(Fixture(strategies=("uniform", "disagreement"), budgets=(4, 0.5)))
    change_summary(reference="disagreement")
    found = ordered(read_summary().of(TASK), ("uniform", "disagreement"), (4, 0.5))
    order = ["disagreement-0.5", "uniform-0.5", "disagreement-4", "uniform-4"]
    assert list(found.cells) == order


def test_the_frontier_draws_every_cells_mean_and_interval() -> None:
    summary = summary_of(full_study())
    drawn = {}
    for trace in data(frontier(summary)):
        bars = trace["error_y"]
        for at, text in enumerate(trace["text"]):
            ends = trace["y"][at] - bars["arrayminus"][at], trace["y"][at] + bars["array"][at]
            drawn[text.split("<br>")[0]] = (trace["y"][at], *ends)
    measured = {n: c.metrics["accuracy"] for n, c in summary.cells.items() if c.metrics}
    assert drawn.keys() == measured.keys() and len(drawn) == 27
    for name, one in measured.items():
        want = [100 * v for v in (one.mean, one.low, one.high) if v is not None]
        assert list(drawn[name]) == pytest.approx(want), name


def test_marks_of_a_cost_stand_side_by_side_in_the_studys_order() -> None:
    summary = summary_of(full_study())
    at = places(summary.cells)
    small = [name for name in summary.cells if name.endswith("-0.5")]
    assert [at[name] for name in small] == sorted(at[name] for name in small)
    assert max(at[name] for name in small) < min(at[n] for n in summary.cells if n not in small)
    assert places({"uniform-4": summary.cells["uniform-4"]}) == {"uniform-4": 165888}


def test_where_all_costs_are_alike_the_axis_names_strategies() -> None:
    axis = frontier(summary_of(Fixture())).views[0].drawing()["layout"]["xaxis"]
    assert axis["ticktext"] == ["uniform", "disagreement", "permuted"]
    assert axis["title"]["text"] == "strategy (165,888 trainable parameters)"
    two = frontier(summary_of(Fixture(budgets=(0.5, 4)))).views[0].drawing()["layout"]["xaxis"]
    assert two["ticktext"] == ["20,736", "165,888"]
    assert two["title"]["text"] == "trainable parameters"


def test_costs_cluster_only_where_they_are_alike() -> None:
    assert clusters([100, 110, 100, 1000]) == [[100, 110], [1000]]
    assert clusters([100, int(100 * ALIKE) + 1]) == [[100], [126]]
    assert clusters([]) == []


def test_no_two_strategies_look_alike() -> None:
    found = looks(summary_of(full_study()))
    assert len({look.symbol for look in found.values()}) == 14
    assert found["uniform"].symbol == "circle" and "circle" not in SYMBOLS


def test_every_light_colour_has_one_dark_one() -> None:
    drawn = str(data(frontier(summary_of(full_study()))))
    assert len(exchange()) == len(set(exchange()))
    for colour in {part[:7] for part in drawn.split("'") if part.startswith("#")}:
        assert colour in exchange(), colour


def test_the_forest_has_a_mark_a_comparison_at_its_difference() -> None:
    summary = summary_of(full_study())
    chart = forest(summary)
    assert chart is not None
    drawn = {t["name"]: t for t in data(chart) if t.get("name")}
    known = [one for one in summary.comparisons if one.difference is not None]
    assert len(drawn) == len(known) == len(summary.comparisons) - 1
    for one in known:
        trace = drawn[f"{one.cell} less {one.against}"]
        assert trace["x"] == [pytest.approx(100 * (one.difference or 0))]
        assert one.high is not None and one.difference is not None
        assert trace["error_x"]["array"] == [pytest.approx(100 * (one.high - one.difference))]
        assert (trace["marker"]["symbol"] == "circle") == (one.role == "reference")
        assert one.verdict in trace["text"][0]
        assert numbers.p_equals(one.t_p_holm) in html.unescape(trace["text"][0])


def test_the_forest_says_verdict_and_p_beside_each_mark_and_above_it_on_a_phone() -> None:
    summary = summary_of(Fixture(budgets=(0.5, 4)))
    chart = forest(summary)
    assert chart is not None
    (view,) = chart.views
    layout = view.drawing()["layout"]
    beside = [text for text in layout["yaxis2"]["ticktext"] if not text.startswith("<b>")]
    above = [one["text"] for one in view.narrow["annotations"] if "<b>" not in one["text"]]
    for one, side, top in zip(summary.comparisons, beside, above, strict=True):
        said = one.verdict
        if one.family is not None:
            said += f", {numbers.p_equals(one.t_p_holm)}"
        assert html.unescape(side) == said and html.unescape(top).endswith(said)
        assert one.strategy in top


def test_where_lower_is_better_gains_are_to_the_left() -> None:
    chart = forest(summary_of(Fixture(metric="loss")))
    assert chart is not None and "to the left of the line" in chart.about[0]
    layout = chart.views[0].drawing()["layout"]
    assert layout["xaxis"]["title"]["text"] == "difference in loss"


def test_the_rank_map_is_the_plan() -> None:
    write_study(Fixture(budgets=(0.5, 4)))
    cells = list(Fixture(budgets=(0.5, 4)).cells)
    chart = rank_map(read_plans(TASK, cells))
    assert chart is not None and [view.label for view in chart.views] == cells
    for at, cell in enumerate(cells):
        (heat,) = data(chart, at)
        plan = read_json(Path(f"data/plans/{cell}/{TASK}.json"))
        want = {(str(m["block"]), m["kind"]): m["rank"] for m in plan["modules"]}
        drawn = {
            (block, kind): heat["z"][row][column]
            for row, block in enumerate(heat["y"])
            for column, kind in enumerate(heat["x"])
        }
        assert drawn == want


def test_of_a_random_control_the_first_draw_is_shown_and_their_number_said() -> None:
    write_study(Fixture())
    path = Path("data/plans/permuted-4/questions.json")
    plan = read_json(path)
    drawn = [module | {"rank": 2, "alpha": 2.0} for module in plan["modules"]]
    drawn = [m | {"parameters": m["parameters"] // 2} for m in drawn]
    path.write_text(json.dumps(plan | {"schema": 2, "variants": [drawn, drawn]}))
    plans = read_plans(TASK, ["uniform-4", "permuted-4"])
    chart = rank_map({"permuted-4": plans["permuted-4"]})
    assert chart is not None and "first of 3 draws" in chart.about[-1]
    assert data(chart)[0]["z"] == data(rank_map({"p": plans["permuted-4"].for_seed(0)}))[0]["z"]
    assert not any("draws" in line for line in rank_map({"u": plans["uniform-4"]}).about)


def test_modules_of_one_kind_in_a_block_share_a_field() -> None:
    write_study(Fixture())
    path = Path("data/plans/uniform-4/questions.json")
    plan = read_json(path)
    plan["modules"][1] |= {"kind": plan["modules"][0]["kind"], "rank": 6, "alpha": 6.0}
    plan["modules"][1]["parameters"] = 6 * 768
    plan["parameters"] = sum(module["parameters"] for module in plan["modules"])
    path.write_text(json.dumps(plan))
    chart = rank_map(read_plans(TASK, ["uniform-4"]))
    (heat,) = data(chart)
    assert heat["z"][0][0] == 5 and heat["text"][0][0] == "4 6"
    assert heat["z"][0][heat["x"].index("down")] is None


def test_scores_have_bars_where_the_error_is_known() -> None:
    write_study(Fixture(signals=("disagreement", "gradient_spectrum")))
    chart = score_chart(
        read_scores(dict.fromkeys(["disagreement", "gradient_spectrum", "absent"], "model"))
    )
    assert chart is not None and [v.label for v in chart.views] == [
        "disagreement",
        "gradient_spectrum",
    ]
    rows = read_json(Path("metrics/scores/model/disagreement.json"))["modules"]
    query = [row for row in rows if row["kind"] == "query"]
    trace = data(chart)[0]
    assert (trace["name"], trace["y"]) == ("query", [row["mean"] for row in query])
    assert trace["error_y"]["array"] == pytest.approx([1.96 * 2e-4] * 6)
    assert not data(chart, 1)[0]["error_y"]["visible"]


def test_what_a_signal_is_worth_stands_below_its_chart() -> None:
    write_study(Fixture(signals=("disagreement", "learned_order")))
    path = Path("metrics/scores/model/learned_order.json")
    path.write_text(json.dumps(read_json(path) | {"caveats": ["a guess"]}))
    places = dict.fromkeys(["disagreement", "learned_order", "absent"], "model")
    assert read_caveats(places) == ["learned_order: a guess."]
    chart = score_chart(read_scores(places), read_caveats(places))
    assert chart is not None and chart.about[-1] == "learned_order: a guess."


def test_curves_hold_train_and_validation_of_every_seed() -> None:
    summary = summary_of(Fixture(failed={("uniform-4", 1): "lost"}))
    chart = curve_chart(summary, read_curves(TASK, list(summary.cells), summary.seeds))
    assert chart is not None and len(chart.views) == 3
    train, loss, accuracy = data(chart)[:3]
    curve = pd.read_csv("data/curves/questions/uniform-4/seed-0.tsv", sep="\t")
    assert train["y"] == pytest.approx(curve["train_loss"].tolist(), rel=1e-4)
    looked = curve.dropna(subset="validation_loss")
    assert loss["x"] == looked["step"].tolist()
    assert loss["y"] == pytest.approx(looked["validation_loss"].tolist(), rel=1e-4)
    assert accuracy["y"] == pytest.approx((100 * looked["validation_accuracy"]).tolist(), rel=1e-4)
    assert {t["name"] for t in data(chart)} == {"seed 0", "seed 2"}


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_error_against_effective_rank_follows_each_run_from_look_to_look(metric: str) -> None:
    fixture = Fixture(metric=metric, failed={("uniform-4", 1): "lost"})
    summary = summary_of(fixture)
    curves = read_curves(TASK, list(summary.cells), summary.seeds)
    chart = rank_path_chart(summary, curves)
    assert chart is not None and [view.label for view in chart.views] == list(summary.cells)
    first = data(chart)[0]
    looked = curves["uniform-4"][0].dropna(subset="validation_loss")
    assert first["x"] == pytest.approx(looked["effective_rank"].tolist(), abs=1e-4)
    share = 100 * (1 - looked["validation_accuracy"])
    expected = looked["validation_loss"] if metric == "loss" else share
    assert first["y"] == pytest.approx(expected.tolist(), rel=1e-4)
    assert [trace["name"] for trace in data(chart)] == ["seed 0", "seed 2"]
    assert len(chart.views[0].table.rows) == 2 * len(looked)


def test_curves_without_an_effective_rank_have_no_such_figure() -> None:
    summary = summary_of(Fixture())
    curves = read_curves(TASK, list(summary.cells), summary.seeds)
    bare = {
        cell: {seed: curve.drop(columns="effective_rank") for seed, curve in seeds.items()}
        for cell, seeds in curves.items()
    }
    assert rank_path_chart(summary, bare) is None
    mixed = bare | {"uniform-4": curves["uniform-4"]}
    chart = rank_path_chart(summary, mixed)
    assert chart is not None and [view.label for view in chart.views] == ["uniform-4"]


def test_long_curves_are_averaged_over_runs_of_steps() -> None:
    curve = pd.DataFrame({"step": range(1, 8), "train_loss": [1.0, 3, 5, 7, 9, 11, 20]})
    assert thinned(curve, 3).to_numpy().tolist() == [[2, 3], [5, 9], [7, 20]]
    summary = summary_of(Fixture(steps=POINTS * 3 + 1))
    chart = curve_chart(summary, read_curves(TASK, list(summary.cells), summary.seeds))
    assert chart is not None and "mean of 4 steps" in " ".join(chart.about)
    assert len(data(chart)[0]["x"]) <= POINTS


def test_a_diverged_loss_is_a_gap() -> None:
    summary = summary_of(Fixture())
    path = Path("data/curves/questions/uniform-4/seed-0.tsv")
    curve = pd.read_csv(path, sep="\t")
    curve.loc[curve.index[-1], "train_loss"] = float("nan")
    curve.to_csv(path, sep="\t", index=False)
    chart = curve_chart(summary, read_curves(TASK, list(summary.cells), summary.seeds))
    assert data(chart)[0]["y"][-1] is None


def test_the_table_holds_the_summary_in_full() -> None:
    summary = summary_of(full_study())
    table = full_table(summary)
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    rows = [dict(zip(names, row, strict=True)) for row in table.rows]
    assert [row["cell"].raw for row in rows] == list(summary.cells)
    for row in rows:
        cell = summary.cells[row["cell"].raw]
        one, less = cell.metrics.get("accuracy"), summary.against_reference(row["cell"].raw)
        assert row["accuracy"].raw == ("" if one is None else str(one.mean))
        if one is not None and one.mean is not None:
            assert row["accuracy"].text == f"{100 * one.mean:.2f}"
        known = less is not None and less.difference is not None
        assert row["difference"].raw == (str(less.difference) if less and known else "")
        assert row["verdict"].raw == (less.verdict if less else "")
        assert row["failed"].raw == str(len(cell.failed))


def test_a_summary_without_a_part_is_refused() -> None:
    write_study(Fixture())
    path = Path("metrics/summary.json")
    whole = read_json(path)
    whole["comparisons"][0].pop("t_p_holm")
    path.write_text(json.dumps(whole))
    with pytest.raises(InputError, match=r"comparisons\.0\.t_p_holm"):
        read_summary()


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "–"), (0.0004, "< 0.001"), (0.0312, "0.031"), (0.25, "0.25"), (1.0, "1.00")],
)
def test_p_values_have_the_digits_that_matter(p: float | None, text: str) -> None:
    assert numbers.p_value(p) == text


def test_numbers_are_told_in_their_unit() -> None:
    assert numbers.with_interval(0.8787, 0.87, 0.88, "accuracy") == "87.87 % (87.00 to 88.00)"
    told = numbers.with_interval(-0.0218, None, None, "macro_f1", signed=True)
    assert told == "−2.18 percentage points"
    assert numbers.with_interval(4.89812, 4.8, 5.0, "loss") == "4.898 (4.800 to 5.000)"
    assert numbers.value(134.04, "perplexity") == "134.0"
    assert numbers.value(None, "loss") == "–"
    assert numbers.value(-12345.0, "loss") == "−12,345"


def test_the_frontier_is_headed_by_whether_costs_differ() -> None:
    one = summary_of(Fixture(strategies=("uniform", "disagreement")))
    assert frontier(one).title == "Accuracy at equal trainable parameters"
    two = summary_of(Fixture(strategies=("uniform", "disagreement"), budgets=(0.5, 4)))
    assert frontier(two).title == "Accuracy against trainable parameters"


def test_every_seeds_value_is_drawn_with_the_mean_of_its_cell() -> None:
    summary = summary_of(full_study())
    chart = seed_chart(summary, read_values(TASK, list(summary.cells)))
    assert chart is not None
    traces = data(chart)
    marks = {trace["name"]: trace for trace in traces if trace["mode"] == "markers"}
    lines = [trace["x"] for trace in traces if trace["mode"] == "lines"]
    measured = {name: cell for name, cell in summary.cells.items() if cell.n}
    assert list(marks) == list(measured) and len(lines) == len(marks)
    for (name, cell), (mean, again) in zip(measured.items(), lines, strict=True):
        recorded = read_json(Path(f"metrics/cells/{TASK}/{name}.json"))["seeds"]
        test = {row["seed"]: 100 * row["headline"] for row in recorded if row["split"] == "test"}
        assert marks[name]["x"] == pytest.approx(list(test.values()))
        assert len(test) == cell.n == len(set(marks[name]["y"])), "equal values stand apart"
        assert mean == again == pytest.approx(100 * (cell.metrics["accuracy"].mean or 0))
    rows = {row[0]: row for row in chart.views[0].table.rows}
    assert [text for text in rows["empirical-4"] if text == "failed"] == ["failed"] * 2
    assert rows["stable_rank-0.5"][1:] == ("failed",) * 5 + ("–", "–")
    assert rows["uniform-4"][-1] == "500"
    assert rows["answering the commonest label"][-2] == "24.00"
    assert any("stable_rank-0.5" in said for said in chart.about)


@pytest.mark.parametrize(
    ("baseline", "lines", "words"),
    [
        (0.84, 1, "the commonest label: 84.00 %"),
        (0.20, 0, "← the commonest label: 20.00 %"),
        (1.50, 0, "the commonest label: 150.00 % →"),
    ],
)
def test_a_constant_answer_is_a_line_or_an_arrow_to_where_it_is(
    baseline: float, lines: int, words: str
) -> None:
    write_study(Fixture())
    change_summary(
        baseline={"answer": "the commonest label", "value": baseline, "not_beaten_by": []}
    )
    chart = seed_chart(
        read_summary().of(TASK),
        {"uniform-4": {0: SeedValue(0.82, 9), 1: SeedValue(0.86, 9)}},
    )
    assert chart is not None
    layout = chart.views[0].drawing()["layout"]
    (note,) = layout["annotations"]
    assert note["text"] == words and len(layout.get("shapes", [])) == lines
    low, high = layout["xaxis"]["range"]
    assert low < 82 < 86 < high and high - low < 10
    assert low <= note["x"] <= high


def test_no_value_no_figure_of_seeds() -> None:
    write_study(Fixture())
    summary = read_summary().of(TASK)
    assert seed_chart(summary, {}) is None
    assert seed_chart(summary, {"uniform-4": {0: SeedValue(None, 9)}}) is None


def test_the_confusion_is_counted_over_all_seeds_and_its_rows_add_up() -> None:
    write_study(Fixture(labels=5))
    confusions = read_confusions(TASK, ["uniform-4", "absent-4"])
    chart = confusion_chart(confusions)
    assert chart is not None and list(confusions) == ["uniform-4"]
    table = pd.read_csv(f"metrics/confusion/{TASK}/uniform-4.tsv", sep="\t")
    counts = pd.crosstab(table["actual"], table["predicted"])
    (heat,) = data(chart)
    assert heat["z"] == (100 * counts.div(counts.sum(axis=1), axis=0)).to_numpy().tolist()
    assert heat["hovertext"][1][2] == (
        f"K01 predicted as K02: {counts.loc['K01', 'K02']} of 200 rows"
    )
    assert [row[1:-1] for row in chart.views[0].table.rows] == [
        tuple(map(str, row)) for row in counts.to_numpy().tolist()
    ]
    assert len(chart.about) == 1


def test_of_many_labels_the_most_confused_are_shown_and_the_others_share_a_row() -> None:
    pairs = {(f"K{i:02}", f"K{i:02}"): 10 for i in range(50)}
    pairs |= {(f"K{i:02}", f"K{i + 1:02}"): 50 - i for i in range(0, 48, 2)}
    chart = confusion_chart({"uniform-4": pairs})
    assert chart is not None
    (heat,) = data(chart)
    (view,) = chart.views
    ticks = view.drawing()["layout"]["xaxis"]["ticktext"]
    assert ticks == [f"K{i:02}" for i in range(12)] + ["38 others"]
    assert len(heat["z"]) == 13
    assert [sum(n or 0 for n in row) for row in heat["z"]] == pytest.approx([100] * 13)
    assert view.table.rows[0] == ("K00", "K01", "50", "83.3")
    left = sum(50 - i for i in range(40, 48, 2))
    assert view.table.rows[20] == ("4 other pairs", "", str(left), "")
    assert "Of 50 labels, the 12" in chart.about[1] and "38 others" in chart.about[1]


def test_no_labels_no_confusion() -> None:
    path = Path(f"metrics/confusion/{TASK}/uniform-4.tsv")
    path.parent.mkdir(parents=True)
    path.write_text("actual\tpredicted\n")
    assert read_confusions(TASK, ["uniform-4"]) == {}
    assert confusion_chart({}) is None
