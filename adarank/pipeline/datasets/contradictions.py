"""What the keys of the dataset section say against each other, found before anything is fetched."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adarank.errors import InputError, Problem
from adarank.pipeline.datasets.templates import Template, parse_templates, where_template
from adarank.pipeline.datasets.values import written
from adarank.tasks.catalogue import Rows

if TYPE_CHECKING:
    from adarank.pipeline.datasets.section import DatasetSection

_KEYS = {
    "text_key": "a column's name",
    "pair_key": "a column's name",
    "target_key": "a column's name",
    "templates": "at least one template",
    "target_words": "the words of at least two targets",
    "num_classes": "a number of classes",
}
_NONE = {"templates": "[]", "target_words": "{}"}

# By kind of rows, and whether there are templates: the keys it needs, and those it can do without.
_USES: dict[tuple[Rows, bool], tuple[set[str], set[str]]] = {
    ("labels", False): ({"text_key", "target_key"}, {"pair_key", "num_classes"}),
    ("numbers", False): ({"text_key", "target_key"}, {"pair_key"}),
    ("texts", False): ({"text_key"}, set()),
    ("texts", True): ({"target_key", "templates"}, set()),
    ("words", False): ({"text_key", "target_key"}, {"target_words"}),
    ("words", True): ({"target_key", "templates"}, {"target_words"}),
}


def contradictions(section: "DatasetSection") -> list[Problem]:
    """List everything that cannot be meant as it stands, in the order of the keys."""
    found = [*_splits(section), *_same_rows(section), *_uses(section), *_twins(section)]
    return [*found, *_templates(section), *_words(section)]


def _splits(section: "DatasetSection") -> Iterator[Problem]:
    splits, fraction = section.splits, section.test_fraction
    if splits.test is None and fraction is None:
        yield Problem(
            "a test split is needed",
            "dataset.splits.test",
            "null",
            "a split, or file, that training never sees",
            "name one, or say with dataset.test_fraction how much of train becomes test",
        )
    if splits.test is not None and fraction is not None:
        yield Problem(
            "there is a test split already",
            "dataset.test_fraction",
            fraction,
            "null where dataset.splits.test names a split",
            "dataset.test_fraction: null, or dataset.splits.test: null",
        )
    together = section.validation_fraction + (fraction or 0.0)
    if splits.validation is None and splits.test is None and together >= 0.5:
        yield Problem(
            "too much is carved from train",
            "dataset.test_fraction",
            f"{together:g} with dataset.validation_fraction",
            "below 0.5 together",
            "smaller fractions",
        )


def _same_rows(section: "DatasetSection") -> Iterator[Problem]:
    named = section.named_splits()
    for split, name in named.items():
        twin = next(other for other in named if named[other] == name)
        if twin != split:
            yield Problem(
                f"the same rows would be both {twin} and {split}",
                f"dataset.splits.{split}",
                name,
                "a different split, or file, for each",
                f"dataset.splits.{split}: null, and its rows are carved from train",
            )


def _uses(section: "DatasetSection") -> Iterator[Problem]:
    templated = bool(section.templates) and (section.kind.rows, True) in _USES
    needed, optional = _USES[section.kind.rows, templated]
    for key, form in _KEYS.items():
        value = getattr(section, key)
        given = value not in (None, [], {})
        if key in needed and not given:
            yield _needed(section, key, form)
        if given and key not in needed | optional:
            yield _unused(section, key, " with templates" * templated)


def _needed(section: "DatasetSection", key: str, form: str) -> Problem:
    instead = key == "text_key" and (section.kind.rows, True) in _USES
    return Problem(
        f"{section.type} needs it",
        f"dataset.{key}",
        _NONE.get(key, "null"),
        form + ", or dataset.templates" * instead,
        f"set dataset.{key}" + ", or dataset.templates" * instead,
    )


def _unused(section: "DatasetSection", key: str, templated: str) -> Problem:
    none = _NONE.get(key, "null")
    return Problem(
        f"{section.type}{templated} has no use for it",
        f"dataset.{key}",
        getattr(section, key),
        none,
        f"dataset.{key}: {none}, or another dataset.type",
    )


def _twins(section: "DatasetSection") -> Iterator[Problem]:
    columns = {key: getattr(section, key) for key in ("text_key", "pair_key", "target_key")}
    given = {key: name for key, name in columns.items() if name is not None}
    for key, name in given.items():
        twin = next(other for other in given if given[other] == name)
        if twin != key:
            yield Problem(
                f"the column that dataset.{twin} names",
                f"dataset.{key}",
                name,
                "another column",
                f"dataset.{key}: the column of the {key.removesuffix('_key')}",
            )


def _templates(section: "DatasetSection") -> list[Problem]:
    try:
        templates = parse_templates(section.templates)
    except InputError as error:
        return list(error.problems)
    found = (_misplaced(section, template) for template in templates)
    return [
        Problem(what, where_template(place), templates[place].text, expected, remedy)
        for place, fault in enumerate(found)
        if fault is not None
        for what, expected, remedy in [fault]
    ]


def _misplaced(section: "DatasetSection", template: Template) -> tuple[str, str, str] | None:
    target, rows = section.target_key, section.kind.rows
    if target is None:
        return None
    place = f"{{{target}}}"
    if rows == "texts" and target not in template.columns:
        return (
            "the template has no response",
            f"{place}, the target's column, where the response begins",
            f"add {place}, or name another dataset.target_key",
        )
    if rows == "words" and target in template.columns:
        return ("the template gives the answer away", f"no {place}", f"remove {place}")
    return None


def _words(section: "DatasetSection") -> Iterator[Problem]:
    where, words = "dataset.target_words", section.target_words
    for key, text in words.items():
        if not text.strip():
            yield Problem(
                "no words to write", f"{where}.{key}", text, "words", "give them, or remove it"
            )
    names = [target_name(key) for key in words]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Problem(
            "two keys for one target", where, name, "each target once", "remove one of them"
        )
    if words and len(set(words.values())) < 2:
        yield Problem(
            "the same words for every target",
            where,
            words,
            "at least two different words",
            "{} to write the target itself",
        )


def target_name(key: str | bool | int | float) -> str:
    """Write a key of target_words as the target it stands for."""
    return (written(key) or str(key)).strip()
