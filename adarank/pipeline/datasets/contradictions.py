"""What the keys of the dataset section say against each other, found before anything is fetched."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from adarank.errors import InputError, Problem
from adarank.pipeline.datasets.keys import key as at
from adarank.pipeline.datasets.reading.together import file_names
from adarank.pipeline.datasets.rows.templates import Template, parse_templates, where_template
from adarank.pipeline.datasets.rows.values import name_of
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
    "label_noise": "a share",
}
_NONE = {"templates": "[]", "target_words": "{}", "label_noise": "0"}

# By kind of rows, and whether there are templates: the keys it needs, and those it can do without.
_USES: dict[tuple[Rows, bool], tuple[set[str], set[str]]] = {
    ("labels", False): ({"text_key", "target_key"}, {"pair_key", "num_classes", "label_noise"}),
    ("numbers", False): ({"text_key", "target_key"}, {"pair_key"}),
    ("texts", False): ({"text_key"}, set()),
    ("texts", True): ({"target_key", "templates"}, set()),
    ("words", False): ({"text_key", "target_key"}, {"target_words"}),
    ("words", True): ({"target_key", "templates"}, {"target_words"}),
}


def contradictions(section: "DatasetSection") -> list[Problem]:
    """List everything that cannot be meant as it stands, in the order of the keys."""
    splits = [*_splits(section), *_files(section), *_same_rows(section)]
    columns = [*_uses(section), *_twins(section)]
    return [*splits, *columns, *_templates(section), *_words(section)]


def _splits(section: "DatasetSection") -> Iterator[Problem]:
    splits, fraction = section.splits, section.test_fraction
    if splits.test is None and fraction is None:
        yield Problem(
            "a test split is needed",
            at("splits.test"),
            "null",
            "a split, or file, that training never sees",
            f"name one, or say with {at('test_fraction')} how much of train becomes test",
        )
    if splits.test is not None and fraction is not None:
        yield Problem(
            "there is a test split already",
            at("test_fraction"),
            fraction,
            f"null where {at('splits.test')} names a split",
            f"{at('test_fraction')}: null, or {at('splits.test')}: null",
        )
    together = section.validation_fraction + (fraction or 0.0)
    if splits.validation is None and splits.test is None and together >= 0.5:
        yield Problem(
            "too much is carved from train",
            at("test_fraction"),
            f"{together:g} with {at('validation_fraction')}",
            "below 0.5 together",
            "smaller fractions",
        )


def _same_rows(section: "DatasetSection") -> Iterator[Problem]:
    named = section.named_splits()
    for split, files in named.items():
        names = file_names(files)
        twin = next(other for other in named if {*file_names(named[other])} & {*names})
        name = next((name for name in names if name in file_names(named[twin])), "")
        if twin != split:
            yield Problem(
                f"the same rows would be both {twin} and {split}",
                at(f"splits.{split}"),
                name,
                "a different split, or file, for each",
                at(f"splits.{split}") + ": null, and its rows are carved from train",
            )


def _files(section: "DatasetSection") -> Iterator[Problem]:
    for split, files in section.named_splits().items():
        if not isinstance(files, str) and not section.source.startswith("file:"):
            yield Problem(
                "several files for a split",
                at(f"splits.{split}"),
                files,
                f"a split's name, for {section.source} is no folder",
                "one name, or a file: source",
            )
        elif isinstance(files, dict) and section.target_key is None:
            yield Problem(
                "a file for each class, and no name for the column of classes",
                at("target_key"),
                "null",
                "a name",
                f"{at('target_key')}: class",
            )


def _uses(section: "DatasetSection") -> Iterator[Problem]:
    templated = bool(section.templates) and (section.kind.rows, True) in _USES
    needed, optional = _USES[section.kind.rows, templated]
    for key, form in _KEYS.items():
        value = getattr(section, key)
        given = value not in (None, [], {}, 0)
        if key in needed and not given:
            yield _needed(section, key, form)
        if given and key not in needed | optional:
            yield _unused(section, key, " with templates" * templated)


def _needed(section: "DatasetSection", key: str, form: str) -> Problem:
    instead = key == "text_key" and (section.kind.rows, True) in _USES
    return Problem(
        f"{section.type} needs it",
        at(key),
        _NONE.get(key, "null"),
        form + f", or {at('templates')}" * instead,
        f"set {at(key)}" + f", or {at('templates')}" * instead,
    )


def _unused(section: "DatasetSection", key: str, templated: str) -> Problem:
    none = _NONE.get(key, "null")
    return Problem(
        f"{section.type}{templated} has no use for it",
        at(key),
        getattr(section, key),
        none,
        f"{at(key)}: {none}, or another {at('type')}",
    )


def _twins(section: "DatasetSection") -> Iterator[Problem]:
    columns = {key: getattr(section, key) for key in ("text_key", "pair_key", "target_key")}
    given = {key: name for key, name in columns.items() if name is not None}
    for key, name in given.items():
        twin = next(other for other in given if given[other] == name)
        if twin != key:
            yield Problem(
                f"the column that {at(twin)} names",
                at(key),
                name,
                "another column",
                f"{at(key)}: the column of the {key.removesuffix('_key')}",
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
            f"add {place}, or name another {at('target_key')}",
        )
    if rows == "words" and target in template.columns:
        return ("the template gives the answer away", f"no {place}", f"remove {place}")
    return None


def _words(section: "DatasetSection") -> Iterator[Problem]:
    where, words = at("target_words"), section.target_words
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
    return name_of(key) or str(key)
