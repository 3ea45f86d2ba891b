"""Bad inputs: the files of a dataset, and how they are to be read."""

import json

from tests.stages.spoil import (
    Case,
    append,
    both,
    cut,
    folder,
    gone,
    param,
    parquet,
    train,
    write,
)

DATASET = "download dataset"
TRAIN, WEIGHTS = "source/train.csv", "source/model/model.safetensors"


TABLES = [
    Case("dataset folder absent", DATASET, param("dataset.source", "file:nowhere"), "nowhere"),
    Case(
        "dataset source a wheel", DATASET, param("dataset.source", "pypi:a==1/b"), "dataset.source"
    ),
    Case("split file absent", DATASET, gone(TRAIN), "dataset.splits.train|train.csv"),
    Case("split file a folder", DATASET, folder(TRAIN), "dataset.splits.train|train.csv"),
    Case(
        "split file with a nul", DATASET, param("dataset.splits.train", "a\0.csv"), "splits.train"
    ),
    Case("split of another kind", DATASET, train("t.xlsx", "x"), "dataset.splits.train|.csv"),
    Case("the same file twice", DATASET, param("dataset.splits.test", "train.csv"), "splits.test"),
    Case("no test", DATASET, param("dataset.splits.test", None), "dataset.splits.test"),
    Case("csv empty", DATASET, train("t.csv", ""), "text_key|t.csv"),
    Case("csv of a header alone", DATASET, train("t.csv", "text,label\n"), "train"),
    Case("csv of one label", DATASET, train("t.csv", "text,label\na,x\nb,x\nc,x\n"), "train"),
    Case(
        "csv with too many fields", DATASET, train("t.csv", "text,label\na,b,c\n"), "t.csv|line 2"
    ),
    Case("csv with too few fields", DATASET, append(TRAIN, "alone\n"), "train|label"),
    Case("csv with an open quote", DATASET, append(TRAIN, '"a,b\n'), "train.csv"),
    Case(
        "csv with two columns of a name", DATASET, train("t.csv", "text,text\na,b\n"), "t.csv|text"
    ),
    Case("csv in latin-1", DATASET, append(TRAIN, b"caf\xe9,1\n"), "train.csv|dataset.encoding"),
    Case("csv in utf-16", DATASET, write(TRAIN, "text,label\na,b\n".encode("utf-16")), "train.csv"),
    Case("csv binary", DATASET, write(TRAIN, bytes(range(256)) * 9), "train.csv"),
    Case(
        "csv with an empty text", DATASET, append(TRAIN, " ,who\n"), "empty text|dataset.bad_rows"
    ),
    Case("csv of another separator", DATASET, param("dataset.separator", ";"), "text_key|text"),
    Case("separator of a quote", DATASET, param("dataset.separator", '"'), "dataset.separator"),
    Case("separator of a line end", DATASET, param("dataset.separator", "\n"), "dataset.separator"),
    Case("separator of two characters", DATASET, param("dataset.separator", "::"), "separator"),
    Case(
        "encoding unknown", DATASET, param("dataset.encoding", "utf-88"), "dataset.encoding|utf-88"
    ),
    Case("encoding of no text", DATASET, param("dataset.encoding", "hex"), "dataset.encoding|hex"),
    Case("encoding with a nul", DATASET, param("dataset.encoding", "u\0"), "dataset.encoding"),
    Case("json torn", DATASET, train("t.json", '[{"text": "a", "la'), "t.json"),
    Case("json of numbers", DATASET, train("t.json", "[1, 2]"), "t.json|list of objects"),
    Case("json an object", DATASET, train("t.json", '{"text": ["a"], "label": [1]}'), "t.json"),
    Case("json too deep", DATASET, train("t.json", "[" * 100_000), "t.json"),
    Case(
        "json of a huge number",
        DATASET,
        train("t.json", f'[{{"text": "a", "label": {"9" * 5000}}}]'),
        "t.json",
    ),
    Case(
        "json texts that are lists",
        DATASET,
        train("t.json", json.dumps([{"text": ["a"], "label": 1}] * 9)),
        "text",
    ),
    Case(
        "json labels that are lists",
        DATASET,
        train("t.json", json.dumps([{"text": "a", "label": [1]}] * 9)),
        "label",
    ),
    Case(
        "jsonl with a bad line",
        DATASET,
        train("t.jsonl", '{"text": "a", "label": 1}\n{"text"\n'),
        "t.jsonl|line 2",
    ),
    Case(
        "jsonl with a surrogate",
        DATASET,
        train("t.jsonl", '{"text": "a", "label": 1}\n{"text": "\\ud800", "label": 2}\n'),
        "train|row",
    ),
    Case(
        "parquet torn",
        DATASET,
        both(parquet(text=["a"] * 9, label=[1] * 9), cut("source/t.parquet")),
        "t.parquet",
    ),
    Case("parquet no parquet", DATASET, train("t.parquet", "PAR1 not really PAR1"), "t.parquet"),
    Case("parquet empty", DATASET, train("t.parquet", ""), "t.parquet"),
    Case("parquet of no rows", DATASET, parquet(text=[], label=[]), "train"),
    Case("parquet without the text", DATASET, parquet(txt=["a"], label=[1]), "text_key|txt"),
    Case(
        "parquet with nan labels", DATASET, parquet(text=["a"] * 3, label=[1.0, None, 2.0]), "label"
    ),
    Case(
        "parquet with infinite labels",
        DATASET,
        parquet(text=["a"] * 3, label=[1.0, float("inf"), 2.0]),
        "label",
    ),
    Case(
        "parquet with texts of bytes", DATASET, parquet(text=[b"\xff"] * 3, label=[1, 2, 1]), "text"
    ),
    Case(
        "regression of words",
        DATASET,
        both(train("t.csv", "text,label\na,high\nb,low\n"), param("dataset.task", "regression")),
        "train",
    ),
    Case(
        "tsv with quotes that quote nothing",
        DATASET,
        train("t.tsv", 'text\tlabel\na\tx\n"b he said\tx\n"c" he said\ty\n'),
        "t.tsv|lines 3 to 4|dataset.quoting: none",
    ),
    Case(
        "csv without a header",
        DATASET,
        train("t.csv", "1,One,some words\n2,Two,more words\n"),
        "text_key|dataset.columns: a name for each of its 3 fields",
    ),
    Case(
        "csv of semicolons", DATASET, train("t.csv", "text;label\na;x\n"), 'dataset.separator: ";"'
    ),
    Case(
        "a suffix that says nothing",
        DATASET,
        train("t.txt", "x\ta\n"),
        "t.txt|dataset.format: lines",
    ),
    Case("format unknown", DATASET, param("dataset.format", "xls"), "dataset.format|'csv'"),
    Case("quoting unknown", DATASET, param("dataset.quoting", "some"), "dataset.quoting|'none'"),
    Case(
        "columns for a table that names its own",
        DATASET,
        both(parquet(text=["a"], label=[1]), param("dataset.columns", ["text", "label"])),
        "t.parquet|leave dataset.columns out",
    ),
    Case(
        "columns beyond the fields",
        DATASET,
        both(train("t.csv", "a,x\n"), param("dataset.columns", ["text", "label", "more"])),
        "t.csv|at most 2 fields a line, 3 names",
    ),
    Case(
        "files side by side of two lengths",
        DATASET,
        both(
            write("source/texts.txt", "a\nb\n"),
            write("source/labels.txt", "x\n"),
            param("dataset.splits.train", ["texts.txt", "labels.txt"]),
            param("dataset.format", "lines"),
            param("dataset.columns", ["text", "label"]),
        ),
        "dataset.splits.train|texts.txt: 2 rows, labels.txt: 1 rows",
    ),
    Case("a split of no files", DATASET, param("dataset.splits.train", {}), "dataset.splits.train"),
    Case("a split of a number", DATASET, param("dataset.splits.train", 7), "dataset.splits.train"),
    Case(
        "a file for each class of no folder",
        DATASET,
        both(
            param("dataset.source", "builtin:questions"),
            param("dataset.splits.train", {"a": "train"}),
        ),
        "dataset.splits.train|several files",
    ),
    Case(
        "part of a column that no row has",
        DATASET,
        both(
            train("t.jsonl", '{"text": {"a": ["x"]}, "label": 1}\n'),
            param("dataset.text_key", "text.b"),
        ),
        "dataset.text_key|text.b|text.a",
    ),
    Case(
        "test rows too many",
        DATASET,
        param("dataset.test_rows", 10),
        "dataset.test_rows|10|at most 9",
    ),
    Case(
        "train rows below the classes",
        DATASET,
        param("dataset.train_rows", 2),
        "train_rows|at least 3",
    ),
    Case("task unknown", DATASET, param("dataset.task", "clasification"), "dataset.task"),
    Case("classes too many", DATASET, param("dataset.num_classes", 9), "num_classes|9|3"),
    Case(
        "train rows too many", DATASET, param("dataset.train_rows", 25), "dataset.train_rows|25|24"
    ),
    Case(
        "template of no column",
        DATASET,
        both(
            param("dataset.task", "causal_lm"),
            param("dataset.text_key", None),
            param("dataset.templates", ["{question} {label}"]),
        ),
        "question",
    ),
    Case(
        "template with a format",
        DATASET,
        both(
            param("dataset.task", "causal_lm"),
            param("dataset.text_key", None),
            param("dataset.templates", ["{label!r}"]),
        ),
        "templates[0]",
    ),
    Case(
        "template with an open brace",
        DATASET,
        both(
            param("dataset.task", "causal_lm"),
            param("dataset.text_key", None),
            param("dataset.templates", ["{label"]),
        ),
        "templates[0]",
    ),
    Case(
        "templates for a classifier", DATASET, param("dataset.templates", ["{text}"]), "templates"
    ),
    Case("text and target one column", DATASET, param("dataset.target_key", "text"), "target_key"),
    Case("validation of half", DATASET, param("dataset.validation_fraction", 0.5), "validation_fr"),
    Case(
        "validation too few to carve",
        DATASET,
        both(param("dataset.splits.validation", None), param("dataset.validation_fraction", 0.01)),
        "validation_fraction",
    ),
    Case(
        "validation seed negative", DATASET, param("dataset.validation_seed", -1), "validation_seed"
    ),
    Case(
        "dataset pin of other bytes",
        DATASET,
        param("dataset.sha256", {"train.csv": "0" * 64}),
        "dataset.sha256.train.csv",
    ),
    Case(
        "target words for a list",
        DATASET,
        both(param("dataset.task", "seq2seq"), param("dataset.target_words", ["a"])),
        "dataset.target_words",
    ),
]

CASES = [*TABLES]
