"""The section merge: what is wrong with a study's merges is said before anything runs."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adarank.errors import InputError
from adarank.pipeline.merging.runs import merge_run
from adarank.pipeline.params.merge import MergeSection
from adarank.pipeline.params.whole import check_params

TOP = Path(__file__).parents[4]


def problems(tmp_path: Path, merges: list[str] | None = None, **merge: Any) -> list[str]:
    """What check says of the shipped parameters with two tasks, and these merges."""
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["tasks"]["places"] = copy.deepcopy(params["tasks"]["questions"])
    params["study"] |= {"tasks": ["questions", "places"], "merge": merges or ["ties"]}
    params["merge"] = {"strategy": "uniform", "budget": 4} | merge
    return checked(tmp_path, params)


def checked(tmp_path: Path, params: dict[str, Any]) -> list[str]:
    path = tmp_path / "params.yaml"
    with path.open("w") as stream:
        YAML().dump(params, stream)
    return [str(one) for one in check_params(path)]


def test_every_method_and_names_of_ones_own_are_good(tmp_path: Path) -> None:
    methods = {
        "mine": {"method": "adarank", "origin": "cart", "rate": 0.01},
        "ties": {"scaling": [1, 2]},
    }
    assert problems(tmp_path, ["ties", "adarank", "mine", "average"], methods=methods) == []


@pytest.mark.parametrize(
    ("merges", "merge", "said"),
    [
        (["adarnk"], {}, "no such merging method"),
        (["mine"], {"methods": {"mine": {"method": "x"}}}, "merge.methods.mine.method"),
        (["mine"], {"methods": {"mine": {"method": "cart", "top": 1}}}, "has no such parameter"),
        (["ties"], {"methods": {"ties": {"density": [0.1, 0.2]}}}, "merge.methods.ties.density"),
        (["ties"], {"methods": {"ties": {"scaling": [-1]}}}, "merge.methods.ties.scaling"),
        (["ties"], {"methods": {"ties": {"scaling": []}}}, "not a value of this parameter"),
        (["ties"], {"scaling": []}, "at least 1 item"),
        (["adarank"], {"methods": {"adarank": {"scaling": 1}}}, "has no such parameter"),
        (["ties"], {"tasks": ["questions"]}, "there is nothing to merge"),
        (["ties"], {"tasks": ["questions", "rivers"]}, "no such members to merge"),
        (["ties"], {"strategy": "fisher"}, "one of study.strategies"),
        (["ties"], {"budget": 8}, "one of study.budgets"),
        (["ties"], {"seeds": [7]}, "one of study.seeds"),
        (["ties"], {"rank": 8.5}, "a rank above the sum of the members' ranks"),
        (["ties"], {"steps": 0}, "greater than or equal to 1"),
        (["ties"], {"lambda": 1}, "unknown key"),
        (["ties", "ties"], {}, "more than once: ties"),
    ],
)
def test_refused(tmp_path: Path, merges: list[str], merge: dict[str, Any], said: str) -> None:
    assert said in "\n".join(problems(tmp_path, merges, **merge))


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, ["adarnk"], strategy="fisher", seeds=[9], rank=100)
    assert len(found) == 4


def test_a_task_without_classes_is_refused_where_a_method_learns(tmp_path: Path) -> None:
    params = YAML(typ="safe").load(TOP / "params.yaml")
    text = {"source": "file:x", "type": "causal_lm", "text_key": "text", "splits": {"train": "t"}}
    params["tasks"]["text"] = text
    params["study"] |= {"tasks": ["questions", "text"], "merge": ["ties", "adarank"]}
    params["merge"] = {"strategy": "uniform", "budget": 4}
    found = "\n".join(checked(tmp_path, params))
    assert "adarank needs a head with classes" in found and "text of type causal_lm" in found
    assert "ties needs" not in found


def test_merges_need_the_section_and_a_study_says_its_merges(tmp_path: Path) -> None:
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params["study"]["merge"] = ["ties"]
    assert "merges without members" in "\n".join(checked(tmp_path, params))
    del params["study"]["merge"]
    assert "add merge: [] to study" in "\n".join(checked(tmp_path, params))


def test_a_run_has_the_grid_of_its_method_or_the_sections() -> None:
    methods = {
        "fixed": {"method": "tsv_m", "scaling": 1},
        "grid": {"method": "ties", "scaling": [1, 3]},
    }
    section = MergeSection.model_validate(
        {"strategy": "uniform", "budget": 4, "scaling": [0.5, 0.7], "rate": 0.1, "methods": methods}
    )
    assert merge_run(section, "tsv_m").grid == (0.5, 0.7)
    assert merge_run(section, "fixed").grid == (1,)
    assert merge_run(section, "grid").grid == (1, 3)
    assert merge_run(section, "average").grid == ()
    assert merge_run(section, "adarank").values["rate"] == 0.1
    splits = [merge_run(section, n).split(section) for n in ("grid", "fixed", "average", "adarank")]
    assert splits == ["validation", None, None, "train"]
    with pytest.raises(InputError):
        merge_run(section, "none")
