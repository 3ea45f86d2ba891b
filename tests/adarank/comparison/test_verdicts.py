"""Verdicts: every test must agree, no failure passes in silence, and no control is a success."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from adarank.comparison.cells import pairs
from adarank.comparison.study import study_verdict
from adarank.comparison.verdict import flips_can_speak, sentence, verdict
from adarank.errors import RunError
from tests.cells_compared import cell, compared

UNIFORM = [0.80, 0.82, 0.84, 0.81, 0.83]
SMALL = [0.001, -0.001, 0.0, 0.002, -0.002]


def above(base: Sequence[float], by: float) -> list[float]:
    """Values a steady step above others, but for a little that differs by seed."""
    return [value + by + less for value, less in zip(base, SMALL, strict=True)]


def told(*args: object, **kwargs: object) -> str:
    (one,) = compared(*args, **kwargs)  # type: ignore[arg-type]
    return sentence(one)


def test_a_steady_gain_is_better_and_its_numbers_are_told() -> None:
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.02)))
    assert verdict(one) == "better" and one.gain == pytest.approx(0.02)
    assert not flips_can_speak(one)
    assert sentence(one) == (
        "fisher-4 is better than uniform-4: accuracy +2.00 points (95 % interval +1.80 to +2.20 "
        "over 5 seeds; p < 0.0001 by t, Holm-corrected < 0.0001). Sign flips of 5 pairs give "
        "p 0.0625 at least, too much to speak."
    )


def test_no_difference_is_told_with_what_could_have_been_seen() -> None:
    text = told(cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.0001)))
    assert text.startswith("fisher-4 is not distinguishable from uniform-4: accuracy +0.01 points")
    assert "A true difference of 0.27 points would be found with 80 % power at 5 %" in text


def test_ties_throughout_are_not_distinguishable() -> None:
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", UNIFORM))
    assert (one.difference, one.p, one.t_p, one.detectable) == (0.0, 1.0, 1.0, None)
    assert verdict(one) == "not distinguishable" and "accuracy 0.00 points" in sentence(one)


def test_the_same_difference_with_every_seed_is_judged_by_the_flips() -> None:
    raised = [value + 0.01 for value in UNIFORM]
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", raised))
    assert (one.low, one.high, one.t_p) == (0.01, 0.01, 0.0625)
    assert verdict(one) == "not distinguishable"


def test_lower_is_better_turns_the_verdict_and_not_the_difference() -> None:
    cells = [
        cell("uniform", UNIFORM, metric="loss"),
        cell("fisher", above(UNIFORM, -0.02), metric="loss"),
    ]
    (one,) = compared(*cells, metric="loss", better="lower")
    assert one.difference == pytest.approx(-0.02) and one.gain == pytest.approx(0.02)
    assert verdict(one) == "better" and "loss -0.0200 (95 %" in sentence(one)
    (other,) = compared(*cells, metric="loss", better="higher")
    assert verdict(other) == "worse"


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ((0.01, 0.03), "better"),
        ((-0.001, 0.04), "not distinguishable"),
        ((-0.03, -0.01), "not distinguishable"),
    ],
)
def test_the_bootstrap_must_agree_where_there_is_one(rows: tuple[float, float], word: str) -> None:
    cells = [cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.02))]
    (one,) = compared(*cells, rows={("fisher-4", "uniform-4"): rows})
    assert verdict(one) == word
    assert "over rows and seeds" in sentence(one)
    assert ("the difference could be zero" in sentence(one)) == (word != "better")


def test_the_flips_must_agree_where_they_can_speak() -> None:
    # One outlier: t is satisfied by nine large gains, the flips by nothing but all of one sign.
    base = [0.8] * 10
    gains = [0.02, 0.021, 0.022, 0.023, 0.024, 0.02, 0.021, 0.022, 0.023, -0.004]
    raised = [b + g for b, g in zip(base, gains, strict=True)]
    others = [cell(f"other{i}", base) for i in range(20)]
    found = compared(cell("uniform", base), cell("fisher", raised), *others, seeds=10)
    one = found[0]
    assert one.family == 21 and flips_can_speak(one)
    assert one.t_p_holm is not None and one.t_p_holm <= 0.05
    assert one.p_holm is not None and one.p_holm > 0.05
    assert verdict(one) == "not distinguishable" and "sign flips do not agree" in sentence(one)


def test_holm_counts_every_comparison_of_the_study() -> None:
    cells = [cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.0025))]
    alone = compared(*cells)[0]
    among = compared(*cells, *(cell(f"other{i}", UNIFORM) for i in range(9)))[0]
    assert alone.t_p == among.t_p == alone.t_p_holm
    assert among.t_p_holm == pytest.approx(10 * (among.t_p or 0))
    assert (verdict(alone), verdict(among)) == ("better", "not distinguishable")


def test_a_failed_seed_on_either_side_is_not_comparable_and_named() -> None:
    good, bad = above(UNIFORM, 0.05), cell("uniform", UNIFORM, failed={1: "step 3: not finite"})
    for cells in ([bad, cell("fisher", good)], [cell("uniform", UNIFORM), {**bad, "cell": "f-4"}]):
        cells[1]["strategy"] = "fisher"
        (one,) = compared(*cells)
        assert verdict(one) == "not comparable" and one.n == 4
        assert "seed 1 failed (step 3: not finite)" in sentence(one)
        assert "Over the pairs that finished: accuracy" in sentence(one)


def test_a_seed_with_no_value_counts_as_one_that_failed() -> None:
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", [0.9, None, 0.9, 0.9, 0.9]))
    assert verdict(one) == "not comparable" and "seed 1 has no accuracy" in sentence(one)


def test_a_cell_without_any_seed_is_no_part_of_the_correction() -> None:
    lost = cell("fisher", UNIFORM, failed=dict.fromkeys(range(5), "not finite"))
    cells = [cell("uniform", UNIFORM), lost, cell("other", above(UNIFORM, 0.02))]
    first, second = compared(*cells)
    assert (first.n, first.p, first.t_p_holm, first.difference) == (0, None, None, None)
    assert verdict(first) == "not comparable" and "No pair of seeds finished." in sentence(first)
    assert second.family == 1


def test_one_seed_decides_nothing() -> None:
    found = compared(cell("uniform", [0.5]), cell("fisher", [0.9]), seeds=1)
    assert verdict(found[0]) == "not distinguishable"
    assert "with one seed, which tells no spread" in sentence(found[0])
    assert "one seed tells no spread" in study_verdict(found, [0], "uniform")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(RunError, match="not finite"):
        compared(cell("uniform", UNIFORM), cell("fisher", [0.9, bad, 0.9, 0.9, 0.9]))


def test_unequal_parameters_are_said_with_the_numbers() -> None:
    big = cell("full", above(UNIFORM, 0.02), parameters=2500, tuner="full")
    found = compared(cell("uniform", UNIFORM), big)
    assert "it trains 2,500 parameters, 250.0 % of uniform-4's" in sentence(found[0])
    assert "at 250.0 % of the parameters" in study_verdict(found, range(5), "uniform")


def test_each_is_compared_with_the_reference_and_its_own_controls_once() -> None:
    names = ["uniform", "disagreement", "permuted", "fisher", "reversed_fisher", "permuted_eva"]
    cells = [cell(name, UNIFORM) for name in names] + [cell("permuted_fisher", UNIFORM, budget=8)]
    found = {(one.names, one.role) for one in pairs(cells, reference="uniform")}
    own = {("disagreement-4", "permuted-4"), ("fisher-4", "reversed_fisher-4")}
    rest = {(f"{name}-4", "uniform-4") for name in names[1:]}
    assert found == {(n, "control") for n in own} | {(n, "reference") for n in rest}
    (one,) = pairs(cells[1:3], reference="disagreement")
    assert one.names == ("permuted-4", "disagreement-4") and one.role == "reference"


def controls(strategy: float, permuted: float) -> list[str]:
    turned = [value + permuted + less for value, less in zip(UNIFORM, SMALL[::-1], strict=True)]
    cells = [
        cell("uniform", UNIFORM),
        cell("disagreement", above(UNIFORM, strategy)),
        cell("permuted", turned),
    ]
    found = compared(*cells)
    return [sentence(one) for one in found] + [study_verdict(found, range(5), "uniform")]


def test_a_gain_that_random_ranks_have_too_is_said_to_be_theirs() -> None:
    first, control, own, study = controls(0.03, 0.03)
    assert first.startswith("disagreement-4 is better than uniform-4")
    assert control.startswith("permuted-4 is")
    assert "disagreement-4 does not beat its own permuted control, permuted-4" in own
    assert "ranks assigned at random do as well" in own
    assert "disagreement-4 does not beat its own control permuted-4" in study


def test_a_control_that_wins_is_no_success() -> None:
    first, control, own, study = controls(0.0, 0.03)
    assert "disagreement-4 is not distinguishable" in first
    assert "permuted-4 is better than uniform-4" in control
    assert (
        "It is a control, ranks assigned at random: what helps here is not disagreement's"
        in control
    )
    assert "disagreement-4 is worse than its own permuted control" in own
    assert "ranks assigned at random do better" in own
    assert "permuted-4 (+3.00 points) is a control" in study and "Better than" not in study


def test_a_strategy_that_beats_its_control_is_said_to() -> None:
    _, _, own, study = controls(0.03, 0.0)
    assert own.startswith("disagreement-4 beats its own permuted control, permuted-4: accuracy")
    assert study.endswith("Better than uniform: disagreement-4 (+3.00 points).")


def test_the_reference_s_own_control_is_told_as_that() -> None:
    cells = [cell("disagreement", UNIFORM), cell("permuted", above(UNIFORM, 0.0001))]
    assert "disagreement does not beat it." in told(*cells, reference="disagreement")


def test_a_study_says_its_disappointments_first() -> None:
    nothing = compared(*(cell(name, UNIFORM) for name in ("uniform", "fisher", "disagreement")))
    assert study_verdict(nothing, range(5), "uniform") == (
        "Nothing is distinguishable from uniform: 2 comparisons, 5 seeds, Holm-corrected."
    )
    mixed = compared(
        cell("uniform", UNIFORM),
        cell("fisher", above(UNIFORM, 0.03)),
        cell("stable_rank", above(UNIFORM, -0.03)),
        cell("linearized", UNIFORM, failed={2: "not finite"}),
        cell("disagreement", UNIFORM[::-1]),
    )
    text = study_verdict(mixed, range(5), "uniform")
    order = ["1 of 4 cells are not", "Not comparable", "Worse than uniform", "Better than uniform"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "linearized-4's seed 2 failed (not finite)" in text
    worse = compared(cell("uniform", UNIFORM), cell("stable_rank", above(UNIFORM, -0.03)))
    assert study_verdict(worse, range(5), "uniform").startswith(
        "Nothing is better than uniform. Every cell is distinguishable from uniform: 1 comparison, "
        "5 seeds, Holm-corrected. Worse than uniform: stable_rank-4"
    )


def false_findings(n: int, strategies: int, studies: int) -> int:
    """Count the studies of equally good cells in which any comparison comes out decided."""
    rng = np.random.default_rng(20261124)
    found = 0
    for _ in range(studies):
        luck = rng.normal(0.8, 0.02, size=n)
        cells = [
            cell(name, (luck + rng.normal(0, 0.01, size=n)).tolist())
            for name in ("uniform", "disagreement", "permuted", "reversed")[: strategies + 1]
        ]
        words = {verdict(one) for one in compared(*cells, seeds=n)}
        found += bool(words & {"better", "worse"})
    return found


@pytest.mark.parametrize(("n", "studies", "most"), [(5, 600, 41), (10, 150, 13)])
def test_where_nothing_differs_a_study_finds_something_one_time_in_twenty_at_most(
    n: int, studies: int, most: int
) -> None:
    # Five comparisons: five pairs leave it to t, ten let the flips speak. At 5 % there would be
    # more than `most` by chance in 2 of 100 such simulations.
    assert 0 < false_findings(n, 3, studies) <= most
