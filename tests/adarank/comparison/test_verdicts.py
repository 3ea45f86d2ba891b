"""Verdicts: one test decides, no failure passes in silence, and no control is a success."""

import math
from collections.abc import Sequence

import pytest

from adarank.comparison.baseline import BaselineCheck
from adarank.comparison.pairs import pairs
from adarank.comparison.study import study_verdict
from adarank.comparison.verdict import sentence, verdict
from adarank.errors import RunError
from tests.cells_compared import cell, compared, controls_among

UNIFORM = [0.80, 0.82, 0.84, 0.81, 0.83]
SMALL = [0.001, -0.001, 0.0, 0.002, -0.002]


def above(base: Sequence[float], by: float) -> list[float]:
    """Values a steady step above others, but for a little that differs by seed."""
    return [value + by + less for value, less in zip(base, SMALL, strict=True)]


def sentence_of(*args: object, **kwargs: object) -> str:
    (one,) = compared(*args, **kwargs)  # type: ignore[arg-type]
    return sentence(one)


def test_a_steady_gain_is_better_and_its_numbers_are_given() -> None:
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.02)))
    assert verdict(one) == "better" and one.gain == pytest.approx(0.02)
    assert sentence(one) == (
        "fisher-4 is better than uniform-4: accuracy +2.00 points (95 % interval +1.80 to +2.20 "
        "over 5 seeds; p < 0.0001 by paired t; for comparison, p 0.0625 by sign flips, the "
        "smallest that 5 pairs can reach)."
    )


def test_no_difference_is_given_with_what_could_have_been_found() -> None:
    text = sentence_of(cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.0001)))
    assert text.startswith("fisher-4 is not distinguishable from uniform-4: accuracy +0.01 points")
    assert text.endswith("A true difference of 0.27 points would be found with 80 % power.")


def test_what_could_have_been_found_is_of_the_corrected_test() -> None:
    cells = [cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.0001))]
    one = compared(*cells, *(cell(f"other{i}", UNIFORM) for i in range(7)))[0]
    # 2.98 standard deviations in place of 1.68, at five pairs and eight comparisons.
    assert one.family_size == 8 and one.detectable == pytest.approx(2.98 * 0.001581, rel=2e-3)
    assert "0.47 points would be found with 80 % power after the correction" in sentence(one)


def test_ties_throughout_are_not_distinguishable() -> None:
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", UNIFORM))
    assert (one.difference, one.p, one.t_p, one.detectable) == (0.0, 1.0, 1.0, None)
    assert verdict(one) == "not distinguishable" and "accuracy 0.00 points" in sentence(one)


def test_the_same_difference_with_every_seed_is_judged_by_the_flips() -> None:
    raised = [value + 0.01 for value in UNIFORM]
    (one,) = compared(cell("uniform", UNIFORM), cell("fisher", raised))
    assert (one.low, one.high, one.t_p) == (0.01, 0.01, 0.0625)
    assert verdict(one) == "not distinguishable"
    assert "0.0625 by sign flips, since all seeds differ by the same" in sentence(one)


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


@pytest.mark.parametrize("rows", [(0.01, 0.03), (-0.001, 0.04)])
def test_other_rows_are_said_and_no_part_of_the_verdict(rows: tuple[float, float]) -> None:
    cells = [cell("uniform", UNIFORM), cell("fisher", above(UNIFORM, 0.02))]
    found = compared(*cells, rows={("fisher-4", "uniform-4"): rows})
    text = sentence(found[0])
    assert verdict(found[0]) == "better" and "over rows and seeds" in text
    assert ("on others the difference could be zero" in text) == (rows[0] < 0)
    study = study_verdict(found, range(5), "uniform")
    assert ("On other test rows the difference of fisher-4 could be zero" in study) == (rows[0] < 0)


def test_sign_flips_stand_beside_and_decide_nothing() -> None:
    # Nine large gains and a small loss: t finds them, and the flips' p would not pass Holm's.
    base = [0.8] * 10
    gains = [0.02, 0.021, 0.022, 0.023, 0.024, 0.02, 0.021, 0.022, 0.023, -0.004]
    raised = [b + g for b, g in zip(base, gains, strict=True)]
    others = [cell(f"other{i}", base) for i in range(20)]
    one = compared(cell("uniform", base), cell("fisher", raised), *others, seeds=10)[0]
    assert one.family_size == 21 and one.p is not None and 21 * one.p > 0.05
    assert verdict(one) == "better" and "by sign flips" in sentence(one)


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
    assert second.family_size == 1


def test_one_seed_decides_nothing() -> None:
    found = compared(cell("uniform", [0.5]), cell("fisher", [0.9]), seeds=1)
    assert verdict(found[0]) == "not distinguishable"
    assert "with one seed, which gives no estimate of the variance" in sentence(found[0])
    assert "one seed gives no estimate of the variance" in study_verdict(found, [0], "uniform")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(RunError, match="not finite"):
        compared(cell("uniform", UNIFORM), cell("fisher", [0.9, bad, 0.9, 0.9, 0.9]))


def test_unequal_parameters_are_said_with_the_numbers() -> None:
    big = cell("full", above(UNIFORM, 0.02), parameters=2500, tuner="full")
    found = compared(cell("uniform", UNIFORM), big)
    assert "it trains 2,500 parameters, 250.0 % of uniform-4's" in sentence(found[0])
    assert "at 250.0 % of the parameters" in study_verdict(found, range(5), "uniform")


def test_equal_kept_parameters_at_another_peak_are_no_equal_compute() -> None:
    grown = cell("growing", above(UNIFORM, 0.02), tuner="growing")
    grown |= {"peak_parameters": 9000, "mean_parameters": 4200}
    said = sentence_of(cell("uniform", UNIFORM), grown)
    assert said.endswith(
        "Equal in kept parameters, not in compute: of 1,000 parameters kept by both, growing-4 "
        "trains 9,000 at its peak and 4,200 on average, uniform-4 1,000."
    )
    assert "not in compute" not in sentence_of(cell("uniform", UNIFORM), cell("fisher", UNIFORM))


def test_each_is_compared_with_the_reference_and_its_own_controls() -> None:
    names = ["uniform", "disagreement", "permuted", "fisher", "reversed_fisher", "permuted_eva"]
    cells = [cell(name, UNIFORM) for name in names] + [cell("permuted_fisher", UNIFORM, budget=8)]
    controls = controls_among(c["strategy"] for c in cells)
    found = {
        (*one.names, one.family) for one in pairs(cells, reference="uniform", controls=controls)
    }
    assert found == {
        ("disagreement-4", "uniform-4", "primary"),
        ("fisher-4", "uniform-4", "primary"),
        ("permuted-4", "uniform-4", None),
        ("reversed_fisher-4", "uniform-4", None),
        ("permuted_eva-4", "uniform-4", None),
        ("disagreement-4", "permuted-4", "secondary"),
        ("fisher-4", "reversed_fisher-4", "secondary"),
    }


def test_two_families_are_corrected_apart() -> None:
    names = ("uniform", "disagreement", "fisher", "permuted", "reversed", "permuted_fisher")
    found = compared(*(cell(name, above(UNIFORM, 0.001)) for name in names))
    sizes = {one.pair.family: one.family_size for one in found}
    assert sizes == {"primary": 2, "secondary": 3, None: 0}
    assert all(one.t_p_holm is None for one in found if one.pair.family is None)


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
    first, _, own, study = controls(0.03, 0.03)
    assert first.startswith("disagreement-4 is better than uniform-4")
    assert "disagreement-4 does not beat its own permuted control, permuted-4" in own
    assert "randomly permuted ranks do as well" in own
    assert study.endswith(
        "Against the controls (1 comparison, corrected separately): disagreement-4 does not beat "
        "permuted-4."
    )


def test_a_control_beside_the_reference_is_shown_and_not_tested() -> None:
    first, control, own, study = controls(0.0, 0.03)
    assert "disagreement-4 is not distinguishable" in first
    assert control == (
        "permuted-4 is a control of disagreement, randomly permuted ranks; it is shown beside "
        "uniform-4 and not tested: accuracy +3.00 points (95 % interval +2.80 to +3.20 over 5 "
        "seeds)."
    )
    assert "disagreement-4 is worse than its own permuted control" in own
    assert "randomly permuted ranks do better: the scores do not help" in own
    assert study.startswith("Nothing is distinguishable from uniform: 1 comparison")
    assert "disagreement-4 does not beat permuted-4" in study and "Better than" not in study


def test_a_strategy_that_beats_its_control_is_said_to() -> None:
    _, _, own, study = controls(0.03, 0.0)
    assert own.startswith("disagreement-4 beats its own permuted control, permuted-4: accuracy")
    assert "Better than uniform: disagreement-4 (+3.00 points). Against the controls" in study
    assert study.endswith("disagreement-4 beats permuted-4.")


def test_the_reference_s_own_control_is_tested_against_it() -> None:
    cells = [cell("disagreement", UNIFORM), cell("permuted", above(UNIFORM, 0.0001))]
    shown, tested = compared(*cells, reference="disagreement")
    assert (shown.pair.family, tested.pair.family) == (None, "secondary")
    assert "disagreement-4 does not beat its own permuted control" in sentence(tested)
    study = study_verdict([shown, tested], range(5), "disagreement")
    assert study.startswith("Nothing is tested against disagreement. Against the controls")


@pytest.mark.parametrize(
    ("beaten", "start"),
    [
        (
            {"uniform-4": False, "fisher-4": False},
            "No cell beats answering the commonest label (accuracy 24.00 %): nothing was learned",
        ),
        (
            {"uniform-4": True, "fisher-4": False},
            "fisher-4 does not beat answering the commonest label (accuracy 24.00 %). Nothing is",
        ),
        ({"uniform-4": True, "fisher-4": True}, "Nothing is distinguishable"),
    ],
)
def test_a_study_that_learned_nothing_says_so_first(beaten: dict[str, bool], start: str) -> None:
    found = compared(cell("uniform", UNIFORM), cell("fisher", UNIFORM))
    check = BaselineCheck("accuracy", "the commonest label", 0.24, beaten)
    assert study_verdict(found, range(5), "uniform", check).startswith(start)


def test_a_study_says_its_disappointments_first() -> None:
    nothing = compared(*(cell(name, UNIFORM) for name in ("uniform", "fisher", "disagreement")))
    assert study_verdict(nothing, range(5), "uniform") == (
        "Nothing is distinguishable from uniform: 2 comparisons, 5 seeds, paired t test with "
        "Holm's correction."
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
        "5 seeds, paired t test. Worse than uniform: stable_rank-4"
    )
