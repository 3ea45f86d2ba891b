"""What weakens a study, each kind once and in plain sentences."""

from typing import Any

from adarank.comparison.caveats import Circumstances, caveats
from adarank.comparison.pairs import Control
from tests.cells_compared import cell

CONTROLS = {"permuted": Control("disagreement", "permuted", "randomly permuted ranks")}


def tuned(strategy: str, chosen: float, tried: list[float]) -> dict[str, Any]:
    rates = [{"learning_rate": rate} for rate in tried]
    return cell(strategy, [0.5, 0.6]) | {"tuned": rates, "learning_rate": chosen}


def found(cells: list[dict[str, Any]], **known: Any) -> dict[str, str]:
    about = Circumstances(**known)
    each = caveats(cells, [0, 1], reference="uniform", circumstances=about)
    return {one.kind: one.text for one in each}


def test_a_sound_study_has_none() -> None:
    rates = [1e-4, 1e-3, 1e-2]
    cells = [tuned(name, 1e-3, rates) for name in ("uniform", "disagreement", "permuted")]
    assert found(cells, controls=CONTROLS) == {}


def at_ends(name: str, *, highest: str, lowest: str) -> list[str]:
    said = "The chosen {} is the {}est of its list for {}: a {}er one might do better."
    return [said.format(name, "high", highest, "high"), said.format(name, "low", lowest, "low")]


def test_a_rate_at_an_end_of_its_list_names_the_cells() -> None:
    cells = [tuned("uniform", 3e-3, [1e-3, 3e-3]), tuned("permuted", 1e-3, [1e-3, 3e-3])]
    each = [c.text for c in caveats(cells, [0, 1], reference="uniform") if c.kind == "rate_at_end"]
    assert each == at_ends("learning rate", highest="uniform-4", lowest="permuted-4")


def test_a_ratio_at_an_end_of_its_list_names_the_cells() -> None:
    def tried(*ratios: float) -> list[dict[str, float]]:
        return [{"learning_rate": r, "rate_ratio": k} for r in (1.0, 2.0, 3.0) for k in ratios]

    both, one = tried(1.0, 8.0), tried(1.0)
    cells = [
        cell("uniform", [0.5, 0.6]) | {"tuned": both, "learning_rate": 2.0},
        cell("fisher", [0.5, 0.6]) | {"tuned": both, "learning_rate": 2.0, "rate_ratio": 8.0},
        cell("permuted", [0.5, 0.6]) | {"tuned": one, "learning_rate": 2.0},
    ]
    each = [c.text for c in caveats(cells, [0, 1], reference="uniform") if c.kind == "ratio_at_end"]
    assert each == at_ends("ratio of B's rate to A's", highest="fisher-4", lowest="uniform-4")


def test_seeds_that_give_every_row_one_class_are_named() -> None:
    cells = [cell(name, [0.6, 0.6, 0.9]) for name in ("uniform", "fisher", "permuted")]
    for one, values in zip(
        cells, ([0.0, 0.0, 0.8], [0.1, -0.2, None], [0.3, 0.0, 0.8]), strict=True
    ):
        tests = [row for row in one["seeds"] if row["split"] == "test"]
        for row, value in zip(tests, values, strict=True):
            row["matthews"] = value
    assert found(cells)["one_answer"].startswith(
        "Every test row gets the same class from uniform-4 (seeds 0, 1) and permuted-4 (seed 1): "
    )
    assert "one_answer" not in found([cell("uniform", [0.5, 0.6])])


def test_rates_that_nobody_chose_are_no_end_of_a_list() -> None:
    kinds = found([cell("uniform", [0.5, 0.6]), tuned("permuted", 1e-3, [1e-3])])
    assert "rate_not_tuned" in kinds and "rate_at_end" not in kinds


def test_a_strategy_without_a_control_is_named() -> None:
    cells = [tuned(n, 2.0, [1.0, 2.0, 3.0]) for n in ("uniform", "disagreement", "fisher")]
    assert "for disagreement and fisher:" in found(cells)["no_controls"]
    both = [*cells, tuned("permuted", 2.0, [1.0, 2.0, 3.0])]
    assert "for fisher:" in found(both, controls=CONTROLS)["no_controls"]


def test_the_references_ranks_trained_otherwise_need_no_control_of_ranks() -> None:
    name = "gradient_start_uniform"
    cells = [tuned(n, 2.0, [1.0, 2.0, 3.0]) for n in ("uniform", name, "fisher")]
    assert f"for {name} and fisher:" in found(cells)["no_controls"]
    assert "for fisher:" in found(cells, same_ranks=frozenset({name}))["no_controls"]


def test_a_budget_in_another_unit_is_said_to_be_unequal_in_parameters() -> None:
    late = cell("last_3_blocks", [0.5, 0.6]) | {"trainable_parameters": 9000}
    plain = found([cell("uniform", [0.5, 0.6]), late])["unequal_parameters"]
    assert plain.startswith("Budget 4: NOT EQUAL trainable parameters, so no fair test (uniform-4")
    priced = [one | {"unit": "memory"} for one in (cell("uniform", [0.5, 0.6]), late)]
    said = found(priced)["unequal_parameters"]
    assert said.startswith("Budget 4 is paid in memory: UNEQUAL in parameters (uniform-4 ")


def test_a_note_of_a_plan_is_shown() -> None:
    noted = cell("measured", [0.5, 0.6]) | {"note": "its weights come from 45 runs of 300 steps"}
    said = found([cell("uniform", [0.5, 0.6]), noted])["about_plan"]
    assert said == "measured-4: its weights come from 45 runs of 300 steps"


def test_data_cut_rows_and_shared_texts_are_said_where_they_are_so() -> None:
    cells = [tuned("uniform", 2.0, [1.0, 2.0, 3.0]), tuned("permuted", 2.0, [1.0, 2.0, 3.0])]
    cut, shared = ["7 rows of test are cut"], ["3 rows of test have a text that train has, too"]
    noise = ["20 of 100 labels of train are wrong on purpose"]
    known = {"project_data": True, "label_noise": noise, "cut_rows": cut, "shared_texts": shared}
    kinds = found(cells, controls=CONTROLS, **known)
    assert list(kinds) == ["project_data", "label_noise", "cut_rows", "shared_texts"]
    assert kinds["label_noise"] == f"{noise[0]}."
    assert (
        kinds["cut_rows"] == "7 rows of test are cut." and kinds["shared_texts"] == f"{shared[0]}."
    )
    assert "made by this project" in kinds["project_data"]
