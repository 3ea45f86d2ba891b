"""What the dataset section says against itself, told at once and before anything is fetched."""

import json
from pathlib import Path
from typing import Any

import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets.section import DatasetSection
from adarank.pipeline.params.loader import load
from adarank.pipeline.params.tasks import TaskSection
from adarank.tasks.catalogue import TASKS
from stages.download_task import Params
from tests.rows import SECTION

PLACED = {"type": "causal_lm", "text_key": None, "target_key": "output"}
WRITTEN = {"type": "seq2seq", "text_key": None, "templates": ["{a}"]}
GOOD = [
    {},
    {"pair_key": "second", "num_classes": 6, "label_noise": 0.2},
    {"type": "regression", "pair_key": "second"},
    {"type": "causal_lm", "target_key": None},
    PLACED | {"templates": ["{input}: {output}", "{output}"]},
    WRITTEN,
    WRITTEN | {"target_words": {"0": "no", "1": "yes"}},
    {"type": "seq2seq"},
    {"splits": {"train": "a", "validation": None, "test": None}, "test_fraction": 0.2},
]
BAD = [
    ({"text_key": None, "target_key": None}, ["text_key", "target_key"]),
    ({"templates": ["{a}"], "target_words": {"a": "b", "c": "d"}}, ["templates", "target_words"]),
    ({"type": "regression", "num_classes": 3}, ["num_classes"]),
    ({"type": "regression", "label_noise": 0.1}, ["label_noise"]),
    ({"type": "causal_lm"}, ["target_key"]),
    ({"type": "causal_lm", "text_key": None, "target_key": None}, ["text_key"]),
    (PLACED | {"text_key": "text", "templates": ["{output}"]}, ["text_key"]),
    (PLACED | {"target_key": None, "templates": ["{output}"]}, ["target_key"]),
    (
        PLACED | {"templates": ["{input}", "{output}", "{x} {{output}}"]},
        ["templates[0]", "templates[2]"],
    ),
    (PLACED | {"templates": ["{output!r}", "{output"]}, ["templates[0]", "templates[1]"]),
    (
        {"type": "causal_lm", "target_key": None, "pair_key": "b", "num_classes": 2},
        ["pair_key", "num_classes"],
    ),
    (WRITTEN | {"templates": ["{a} {label}"]}, ["templates[0]"]),
    (WRITTEN | {"templates": []}, ["text_key"]),
    (WRITTEN | {"target_key": None, "pair_key": "b"}, ["pair_key", "target_key"]),
    (WRITTEN | {"target_words": {"a": " ", "b": "x"}}, ["target_words.a"]),
    (WRITTEN | {"target_words": {"a": "x", "b": "x"}}, ["target_words"]),
    (WRITTEN | {"target_words": {"a": "x", " a": "y"}}, ["target_words"]),
    ({"text_key": "label"}, ["target_key"]),
    ({"pair_key": "text"}, ["pair_key"]),
    ({"splits": {"train": "a", "validation": None, "test": None}}, ["splits.test"]),
    ({"test_fraction": 0.2}, ["test_fraction"]),
    ({"splits": {"train": "a", "validation": "b", "test": "a"}}, ["splits.test"]),
    (
        {
            "splits": {"train": "a", "validation": None, "test": None},
            "validation_fraction": 0.3,
            "test_fraction": 0.2,
        },
        ["test_fraction"],
    ),
]


def section(**changed: Any) -> DatasetSection:
    return DatasetSection.model_validate(SECTION | changed)


def read(folder: Path, text: str) -> TaskSection:
    """Load a params file of the section with some of its lines replaced."""
    (folder / "params.yaml").write_text(text)
    return load(Params, folder / "params.yaml").tasks.find("questions")


@pytest.mark.parametrize("changed", GOOD, ids=str)
def test_what_each_task_can_mean(changed):
    assert section(**changed).contradictions() == []


@pytest.mark.parametrize(("changed", "keys"), BAD, ids=str)
def test_what_cannot_be_meant(changed, keys):
    problems = section(**changed).contradictions()
    assert [problem.where for problem in problems] == [f"dataset.{key}" for key in keys]
    for problem in problems:
        assert problem.got is not None and problem.expected and problem.remedy


def test_every_task_has_a_good_form():
    assert {GOOD[index].get("type", "classification") for index in range(len(GOOD))} == set(TASKS)


def test_loading_tells_all_of_them_with_the_file(tmp_path):
    bad = {"text_key": None, "test_fraction": 0.2, "templates": ["{"]}
    with pytest.raises(InputError) as caught:
        read(tmp_path, json.dumps({"tasks": {"questions": SECTION | bad}}))
    where = [problem.where for problem in caught.value.problems]
    keys = ["test_fraction", "text_key", "templates", "templates[0]"]
    assert where == [f"{tmp_path}/params.yaml: tasks.questions.{key}" for key in keys]


def test_a_missing_test_split_says_that_it_can_be_carved():
    splits = {"train": "a", "validation": "b", "test": None}
    (problem,) = section(splits=splits).contradictions()
    assert "dataset.test_fraction" in problem.remedy


def test_an_unknown_task_is_told_those_there_are(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, json.dumps({"tasks": {"questions": SECTION | {"type": "regresion"}}}))
    (problem,) = caught.value.problems
    assert problem.got == "regresion"
    assert all(f"'{task}'" in problem.expected for task in TASKS)


def with_words(folder: Path, words: str) -> DatasetSection:
    """Load the section with target_words as YAML text."""
    text = json.dumps(SECTION | WRITTEN)
    words = f'"target_words": {words}'
    whole = text.replace('"target_words": {}', words)
    return read(folder, f"tasks: {{questions: {whole}}}")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("{0: bad, 1: good}", ["0", "1"]),
        ("{false: bad, true: good}", ["false", "true"]),
        ("{0.0: bad, 0.5: good}", ["0", "0.5"]),
        ("{no: bad, 'yes ': good}", ["no", "yes"]),
    ],
)
def test_targets_that_yaml_reads_as_numbers_or_booleans(tmp_path, words, names):
    assert list(with_words(tmp_path, words).rules().target_words) == names


@pytest.mark.parametrize("words", ["{0: 1, 1: good}", "{0: bad, [1]: good}", "[bad, good]"])
def test_words_that_are_none_are_refused(tmp_path, words):
    with pytest.raises(InputError) as caught:
        with_words(tmp_path, words)
    (problem,) = caught.value.problems
    assert "tasks.questions.target_words" in problem.where


def test_only_what_is_missing_is_carved():
    both = {"splits": {"train": "a", "validation": None, "test": None}, "test_fraction": 0.2}
    assert section(**both).rules().division.fractions == {"validation": 0.1, "test": 0.2}
    assert section().rules().division.fractions == {"validation": 0.1}
    own = {"splits": {"train": "a", "validation": "b", "test": None}, "test_fraction": 0.2}
    assert section(**own).rules().division.fractions == {"test": 0.2}
    assert section(**own).named_splits() == {"train": "a", "validation": "b"}
