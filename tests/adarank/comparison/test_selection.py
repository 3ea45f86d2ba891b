"""The adapter handed on is chosen by validation, never by test, and among equals."""

from typing import Any

import pytest

from adarank.comparison.selection import select


def cell(name: str, validation: list[float | None], **changed: Any) -> dict[str, Any]:
    strategy, _, budget = name.partition("-")
    rows = [
        {"seed": seed, "split": split, "headline": value}
        for seed, measured in enumerate(validation)
        # Test tells the opposite, so that a look at it would show.
        for split, value in (("validation", measured), ("test", 1 - (measured or 0)))
    ]
    record = {
        "cell": name,
        "strategy": strategy,
        "budget": float(budget),
        "tuner": "lora",
        "better": "higher",
        "trainable_parameters": 100 * int(budget),
        "seeds": rows,
    }
    return record | changed


def test_the_best_mean_on_validation_wins_and_of_it_the_best_seed() -> None:
    chosen = select(
        [cell("uniform-4", [0.9, 0.1]), cell("fisher-4", [0.6, 0.7])], reference="uniform"
    )
    assert (chosen.cell, chosen.seed, chosen.value) == ("fisher-4", 1, 0.7)
    assert chosen.means == pytest.approx({"uniform-4": 0.5, "fisher-4": 0.65})


def test_lower_is_better_where_the_metric_says_so() -> None:
    cells = [
        cell("uniform-4", [0.9, 0.1], better="lower"),
        cell("fisher-4", [0.6, 0.7], better="lower"),
    ]
    chosen = select(cells, reference="uniform")
    assert (chosen.cell, chosen.seed) == ("uniform-4", 1)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tuner": "full"}, "full does not train a plan of fixed ranks"),
        ({"trainable_parameters": 401}, "401 parameters, and the reference has 400"),
        ({"failed": [{"seed": 2, "error": "nan"}]}, "failed seeds: 2"),
        ({"seeds": None}, "its headline metric is undefined on validation"),
    ],
)
def test_a_cell_that_is_no_equal_is_passed_over_with_its_reason(
    changed: dict[str, Any], why: str
) -> None:
    cells = [cell("uniform-4", [0.1]), cell("fisher-4", [0.9], **changed)]
    chosen = select(cells, reference="uniform")
    assert (chosen.cell, chosen.passed_over) == ("uniform-4", {"fisher-4": why})


def test_an_undefined_seed_is_not_averaged_away() -> None:
    cells = [cell("uniform-4", [0.1, 0.2]), cell("fisher-4", [0.9, None])]
    assert select(cells, reference="uniform").cell == "uniform-4"


def test_equal_means_go_to_fewer_parameters_then_to_the_first() -> None:
    cells = [cell("uniform-8", [0.5]), cell("uniform-4", [0.5]), cell("fisher-4", [0.5])]
    assert select(cells, reference="uniform").cell == "uniform-4"


def test_no_candidate_is_none() -> None:
    chosen = select([cell("adalora-4", [0.5], tuner="adalora")], reference="uniform")
    assert (chosen.cell, chosen.seed, chosen.means) == (None, None, {})


@pytest.mark.parametrize(
    ("metric", "better", "value", "baseline", "beats"),
    [
        ("accuracy", "higher", 0.61, 0.6, True),
        ("accuracy", "higher", 0.6, 0.6, False),
        ("loss", "lower", 1.1, 1.0, False),
        ("pearson", "higher", 0.1, 0.0, False),
        ("pearson", "higher", 0.3, 0.0, True),
    ],
)
def test_an_adapter_that_learned_nothing_is_flagged(
    metric: str, better: str, value: float, baseline: float, beats: bool
) -> None:
    one = cell("uniform-4", [value], headline=metric, better=better)
    one["seeds"] = [row | {"n": 100} for row in one["seeds"]]
    chosen = select([one], reference="uniform", baseline=baseline)
    assert (chosen.cell, chosen.baseline, chosen.beats_baseline) == ("uniform-4", baseline, beats)
    assert select([one], reference="uniform").beats_baseline is None


def test_cells_of_one_budget_in_another_unit_are_equals() -> None:
    late = cell("last_3_blocks-4", [0.9, 0.9], trainable_parameters=9000)
    uniform = cell("uniform-4", [0.5, 0.5])
    assert select([uniform, late], reference="uniform").cell == "uniform-4"
    priced = [one | {"unit": "training_flops"} for one in (uniform, late)]
    assert select(priced, reference="uniform").cell == "last_3_blocks-4"
    assert select([priced[0], late], reference="uniform").cell == "uniform-4"
