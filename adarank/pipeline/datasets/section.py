"""The keys of a task in params.yaml that say which data it learns from, and how they are read."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from adarank.errors import Problem
from adarank.pipeline.datasets.contradictions import contradictions, target_name
from adarank.pipeline.datasets.dividing.splits import Division
from adarank.pipeline.datasets.normalised import Rules
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.reading.form import ExtraFields, Form, Format, Quoting
from adarank.pipeline.datasets.reading.together import Files
from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.params.loader import Digest, Section
from adarank.tasks.catalogue import TASKS, TaskKind


def _known(task: str) -> str:
    if task not in TASKS:
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, TASKS))})
    return task


def _scalar(key: object) -> object:
    if not isinstance(key, str | bool | int | float):
        raise PydanticCustomError("target", "A target should be text, a number or a boolean")
    return key


def _files(value: object) -> object:
    """Accept a name, a list of names, or a mapping of classes to names."""
    if isinstance(value, dict):
        named = {target_name(_scalar(key)): name for key, name in value.items()}  # pyright: ignore[reportArgumentType]
        names = list(named.values())
        found: object = named
    else:
        names = value if isinstance(value, list | tuple) else [value]
        found = tuple(names) if isinstance(value, list | tuple) else value
    if not names or not all(isinstance(name, str) and name for name in names):
        raise PydanticCustomError(
            "files",
            "Input should be a split or file, a list of files to read side by side, or a mapping "
            "of classes to files",
        )
    return found


SplitFiles = Annotated[Files, PlainValidator(_files)]
Target = Annotated[str | bool | int | float, BeforeValidator(_scalar)]


class Splits(Section):
    """Our splits, and what the source calls them."""

    train: SplitFiles = Field(
        default="train",
        description="the source's split to learn from, or a file below FOLDER; [TEXTS, LABELS]: "
        "files read side by side, line by line; {CLASS: FILE, ...}: a file for each class",
    )
    validation: SplitFiles | None = Field(
        default="validation", description="likewise, to select by; null carves it from train"
    )
    test: SplitFiles | None = Field(
        default="test",
        description="likewise, to measure on once; null carves it by test_fraction from train",
    )


class DatasetSection(Section):
    """Which dataset, and how it is read."""

    source: str = Field(
        description="hf:ORG/NAME@REVISION, hf:ORG/NAME/CONFIG@REVISION, file:FOLDER or "
        "builtin:questions"
    )
    splits: Splits = Field(
        default=Splits(),
        description="for train, validation and test the source's split (hf, builtin) or a file "
        "below FOLDER; null carves validation, or test (by test_fraction), from train",
    )
    type: Annotated[str, AfterValidator(_known)] = Field(
        description=f"what is learned: {', '.join(TASKS)}"
    )
    text_key: str | None = Field(
        default="text", min_length=1, description="column of the text; null where templates make it"
    )
    pair_key: str | None = Field(
        default=None,
        min_length=1,
        description="classification, regression: column of a second text, read with the first; "
        "null for none",
    )
    target_key: str | None = Field(
        default="label",
        min_length=1,
        description="column of what is to be learned: a label, a number, a response; null for "
        "causal_lm on plain text",
    )
    templates: list[str] = Field(
        default=[],
        description='causal_lm, seq2seq: texts with columns in braces, such as "Human: '
        '{instruction}"; the first is used whose columns are all non-empty in a row. causal_lm: '
        "from the target's column on it is the response; seq2seq: it makes the text. []: text_key",
    )
    target_words: dict[Target, str] = Field(
        default={},
        description="seq2seq: the words to write for each target; {} for the target itself",
    )
    train_rows: int | None = Field(
        default=None,
        ge=1,
        description="so many rows of the source's train split, drawn at random by validation_seed, "
        "of each class its share; null for all",
    )
    validation_rows: int | None = Field(
        default=None, ge=1, description="likewise of validation, named or carved; null for all"
    )
    test_rows: int | None = Field(
        default=None, ge=1, description="likewise of test, named or carved; null for all"
    )
    num_classes: int | None = Field(
        default=None,
        ge=2,
        description="classification: how many classes there must be; null for as many as train has",
    )
    label_noise: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="classification: share of train's rows, drawn by validation_seed, that get a "
        "wrong label on purpose, to study what is memorised; validation and test keep theirs",
    )
    bad_rows: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="what to do about unusable rows, such as those with empty text, unknown label, "
        "a target that is no number or no template that fits: refuse or drop",
    )
    validation_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="part of train's texts that becomes validation where none is named; "
        "rows of one text stay together",
    )
    test_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=0.5,
        description="likewise, part that becomes test where none is named; else null",
    )
    validation_seed: int = Field(
        default=0, ge=0, description="decides which rows are carved from train, and which are drawn"
    )
    format: Format | None = Field(
        default=None,
        description="how file: sources are written: csv, tsv, json, jsonl, parquet, or lines (a "
        "text a line, column text); null: as the suffix says",
    )
    encoding: str = Field(
        default="utf-8", description="of csv, tsv, json, jsonl and lines, such as utf-8, latin-1"
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        pattern=r'[^"\r\n]',
        description="between fields; null: , in csv and tab in tsv",
    )
    quoting: Quoting = Field(
        default="standard",
        description='csv, tsv: standard where " encloses fields that hold separators or line '
        "ends; none where it is a character like any other",
    )
    columns: list[str] = Field(
        default=[],
        description="names of the columns of csv and tsv files without a header, or of lines (a "
        "name a file); []: the first line is the header",
    )
    extra_fields: ExtraFields = Field(
        default="refuse",
        description="csv, tsv: lines with more fields than columns: refuse them, drop the fields "
        "beyond, or join them to the last column; fields that a line lacks are empty",
    )
    sha256: dict[str, Digest] = Field(
        default={},
        description="pinned sha256 by file name, of file: sources or of what is written; {}: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_of_the_type(cls, value: Any) -> Any:
        """Leave out the usual columns where templates, or plain text, take their place."""
        if not isinstance(value, dict):
            return value
        usual: dict[str, None] = {}
        if value.get("templates"):
            usual["text_key"] = None
        elif value.get("type") == "causal_lm":
            usual["target_key"] = None
        return usual | value

    @property
    def kind(self) -> TaskKind:
        """What the task is about."""
        return TASKS[self.type]

    def contradictions(self) -> list[Problem]:
        """List what keys say against each other, or against what the task needs."""
        return contradictions(self)

    def form(self) -> Form:
        """How the files of a `file:` source are written."""
        return Form(
            self.encoding,
            self.separator,
            self.format,
            self.quoting,
            tuple(self.columns),
            self.extra_fields,
        )

    def named_splits(self) -> dict[str, Files]:
        """What the source calls each split that it has."""
        named = {
            "train": self.splits.train,
            "validation": self.splits.validation,
            "test": self.splits.test,
        }
        return {split: name for split, name in named.items() if name is not None}

    def rules(self) -> Rules:
        """How the rows are to be read; InputError for a template that is none."""
        columns = Columns(
            self.text_key, self.target_key, self.pair_key, parse_templates(self.templates)
        )
        fractions = {"validation": self.validation_fraction, "test": self.test_fraction}
        missing = {
            split: fraction
            for split, fraction in fractions.items()
            if split not in self.named_splits() and fraction is not None
        }
        limits = {
            "train": self.train_rows,
            "validation": self.validation_rows,
            "test": self.test_rows,
        }
        rows = {split: limit for split, limit in limits.items() if limit is not None}
        return Rules(
            columns,
            drop=self.bad_rows == "drop",
            num_classes=self.num_classes,
            target_words={target_name(key): words for key, words in self.target_words.items()},
            division=Division(missing, rows, self.validation_seed),
            label_noise=self.label_noise,
        )
