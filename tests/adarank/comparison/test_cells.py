"""Cells compared: paired by seed, at one budget, with every weakness said."""

from typing import Any

import pandas as pd
import pytest

from adarank.comparison.caveats import Kind, caveats, costs
from adarank.comparison.cells import compare


def compared(cells: list[dict[str, Any]]) -> pd.DataFrame:
    return compare(cells, reference="uniform")


ABOUT_THE_STUDY: tuple[Kind, ...] = ("no_controls", "rate_not_tuned")


def warned(cells: list[dict[str, Any]], seeds: list[int], reference: str = "uniform") -> list[str]:
    """What is wrong with the cells, apart from what a whole study lacks."""
    found = caveats(cells, seeds, reference=reference)
    return [one.text for one in found if one.kind not in ABOUT_THE_STUDY]


def cell(
    strategy: str,
    accuracies: dict[int, float],
    budget: float = 4.0,
    parameters: int = 1000,
    peak: int | None = None,
    tuner: str = "lora",
) -> dict[str, Any]:
    rows = [
        {"seed": seed, "split": split, "n": 100, "headline": value, "accuracy": value, "auc": None}
        for seed, value in accuracies.items()
        for split in ("validation", "test")
    ]
    return {
        "cell": f"{strategy}-{budget:g}",
        "strategy": strategy,
        "budget": budget,
        "tuner": tuner,
        "trainable_parameters": parameters,
        "peak_parameters": peak or parameters,
        "seeds": rows,
    }


def test_a_cells_note_is_a_caveat() -> None:
    noted = cell("disagreement", {0: 0.5, 1: 0.9}) | {"note": "this plan is uniform"}
    plain = cell("uniform", {0: 0.5, 1: 0.9})
    assert warned([plain, noted], [0, 1])[0] == "disagreement-4: this plan is uniform"
    assert warned([plain, cell("disagreement", {0: 0.5, 1: 0.9})], [0, 1]) == []


def test_difference_is_paired_by_seed_whatever_their_order() -> None:
    uniform = cell("uniform", {0: 0.5, 1: 0.9})
    better = cell("disagreement", {1: 0.92, 0: 0.52})
    table = compared([uniform, better])
    row = table[(table["cell"] == "disagreement-4") & (table["split"] == "test")].iloc[0]
    assert row["difference"] == pytest.approx(0.02)
    assert row["difference_high"] - row["difference_low"] == pytest.approx(0.0, abs=1e-12)
    assert row["pairs"] == 2


def test_reference_has_no_difference_and_unmeasured_metrics_no_row() -> None:
    table = compared([cell("uniform", {0: 0.5, 1: 0.9})])
    assert table["difference"].tolist() == [None, None]
    assert table["metric"].tolist() == ["accuracy", "accuracy"]
    assert table["split"].tolist() == ["validation", "test"]


def test_reference_of_another_budget_is_none() -> None:
    table = compared([cell("uniform", {0: 0.5}), cell("reversed", {0: 0.6}, budget=8.0)])
    assert table["difference"].tolist() == [None] * 4
    assert warned([cell("reversed", {0: 0.6, 1: 0.6}, budget=8.0)], [0, 1]) == [
        "Budget 8 has no uniform cell: no differences are taken there."
    ]


def test_one_seed_says_so_and_gives_none_for_the_spread() -> None:
    cells = [cell("uniform", {0: 0.5}), cell("disagreement", {0: 0.6})]
    table = compared(cells)
    assert table["low"].tolist() == [None] * 4
    assert table["difference_low"].tolist() == [None] * 4
    assert "no intervals" in warned(cells, [0])[0]


def test_a_missing_seed_is_said_and_its_pair_left_out() -> None:
    cells = [cell("uniform", {0: 0.5, 1: 0.5, 2: 0.5}), cell("disagreement", {0: 0.6, 2: 0.8})]
    table = compared(cells)
    row = table[table["cell"] == "disagreement-4"].iloc[0]
    assert (row["n"], row["pairs"]) == (2, 2)
    assert row["difference"] == pytest.approx(0.2)
    assert warned(cells, [0, 1, 2]) == [
        "disagreement-4 lacks seed 1: its mean and its pairs rest on 2 of 3 seeds."
    ]


def test_unequal_parameters_at_one_budget_are_said_with_the_counts() -> None:
    cells = [cell("uniform", {0: 0.5, 1: 0.5}), cell("reversed", {0: 0.5, 1: 0.5}, parameters=999)]
    (note,) = warned(cells, [0, 1])
    assert "NOT EQUAL" in note and "uniform-4 1,000" in note and "reversed-4 999" in note


def test_unequal_parameters_across_budgets_are_as_they_should_be() -> None:
    cells = [
        cell("uniform", {0: 0.5, 1: 0.5}),
        cell("uniform", {0: 0.5, 1: 0.5}, budget=8.0, parameters=2000),
    ]
    assert warned(cells, [0, 1]) == []


def test_any_strategy_may_be_the_reference() -> None:
    cells = [cell("uniform", {0: 0.5, 1: 0.6}), cell("full", {0: 0.7, 1: 0.8}, tuner="full")]
    table = compare(cells, reference="full").set_index("cell")
    assert table.loc["uniform-4", "difference"].tolist() == pytest.approx([-0.2, -0.2])
    assert table.loc["full-4", "difference"].tolist() == [None, None]
    assert warned(cells, [0, 1], reference="reversed") == [
        "Budget 4 has no reversed cell: no differences are taken there."
    ]


def test_peers_that_own_their_training_are_told_and_not_warned_of() -> None:
    two = {0: 0.5, 1: 0.5}
    cells = [
        cell("uniform", two),
        cell("reversed", two),
        cell("adalora", two, parameters=1100, peak=1500, tuner="adalora"),
        cell("growing", two, peak=9000, tuner="growing") | {"mean_parameters": 4200},
        cell("literal_linear_decay", two, parameters=2500),
        cell("full", two, budget=8.0, parameters=90_000, tuner="full"),
    ]
    assert not any("NOT EQUAL" in note for note in warned(cells, [0, 1]))
    assert costs(cells, reference="uniform") == [
        "adalora-4 trains 1,100 parameters, 110.0 % of uniform's; 1,500 at its peak",
        "growing-4 trains 1,000 parameters, 100.0 % of uniform's; 9,000 at its peak, 4,200 on "
        "average",
        "literal_linear_decay-4 trains 2,500 parameters, 250.0 % of uniform's",
        "full-8 trains 90,000 parameters",
    ]
