"""The strict loader: YAML 1.2, and every problem of a file at once."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import Field

from adarank.errors import InputError
from adarank.pipeline.params.finetune import ScheduleName
from adarank.pipeline.params.loader import Section, Slice, describe, load
from adarank.tuning.loop import schedules
from tests.schemas import key_paths


class Fit(Section):
    rate: float = Field(gt=0, description="learning rate, a step")
    steps: int = Field(ge=1, description="optimiser steps")
    name: str = Field(description="any word")


class Seeds(Slice):
    seeds: list[int] = Field(description="a list")


class Params(Slice):
    fit: Fit
    study: Seeds


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def fit(rate: Any = 0.1, steps: Any = 5, name: Any = "a") -> str:
    return (
        f"fit:\n  rate: {rate}\n  steps: {steps}\n  name: {name}\n"
        "study:\n  seeds: [0]\n  others: 1\n"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-05", 1e-5), ("1e5", 1e5), ("1.0E+3", 1000.0), ("3", 3.0), (".5", 0.5)],
)
def test_numbers_are_yaml_1_2(tmp_path: Path, text: str, value: float) -> None:
    assert load(Params, write(tmp_path, fit(rate=text))).fit.rate == value


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "12:30:45"])
def test_words_that_yaml_1_1_would_change_stay_words(tmp_path: Path, word: str) -> None:
    assert load(Params, write(tmp_path, fit(name=word))).fit.name == word


def test_a_slice_leaves_the_other_stages_keys_alone(tmp_path: Path) -> None:
    assert load(Params, write(tmp_path, fit() + "other:\n  x: 1\n")).study.seeds == [0]


def test_all_problems_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = "fit:\n  rat: 0.1\n  steps: 0\n  name: 7\nstudy: {}\n"
    with pytest.raises(InputError) as caught:
        load(Params, write(tmp_path, text))
    assert caught.value.exit_code == 2
    places = {problem.where.split(": ")[1] for problem in caught.value.problems}
    assert places == {"fit.rat", "fit.rate", "fit.steps", "fit.name", "study.seeds"}


def test_unknown_key_brings_the_near_one(tmp_path: Path) -> None:
    text = fit().replace("steps:", "stepz:")
    with pytest.raises(InputError, match="did you mean 'steps'"):
        load(Params, write(tmp_path, text))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rate", "fast", "valid number"),
        ("rate", "'0.1'", "valid number"),
        ("rate", "true", "valid number"),
        ("rate", 0, "greater than 0"),
        ("steps", 1.5, "valid integer"),
        ("steps", "null", "valid integer"),
        ("steps", -3, "greater than or equal to 1"),
    ],
)
def test_wrong_type_and_out_of_range(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        load(Params, write(tmp_path, fit(**{key: value})))
    (problem,) = caught.value.problems
    assert problem.where.endswith(f"fit.{key}") and expected in problem.expected


def test_missing_section_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"params\.yaml: fit: key missing"):
        load(Params, write(tmp_path, "study:\n  seeds: [0]\n"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 1\na: 2\n", "not valid YAML"),
        ("- 1\n", "not a mapping"),
        ("", "not a mapping"),
    ],
)
def test_files_that_are_no_mapping(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        load(Params, write(tmp_path, text))


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such parameters file"):
        load(Params, tmp_path / "params.yaml")


def test_key_paths_name_whole_sections_and_single_keys() -> None:
    assert key_paths(Params) == ["fit", "study.seeds"]


def test_describe_explains_every_key() -> None:
    text = describe(Params)
    assert "fit.rate: learning rate, a step" in text and "study.seeds: a list" in text


def test_the_schedules_of_the_schema_are_those_of_training() -> None:
    assert get_args(ScheduleName) == get_args(schedules.ScheduleName)
