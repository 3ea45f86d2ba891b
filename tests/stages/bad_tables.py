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

DATASET = "download_task --task questions"
TRAIN, WEIGHTS = "source/train.csv", "source/model/model.safetensors"


TABLES = [
    Case(
        "dataset folder absent", DATASET, param("tasks.questions.source", "file:nowhere"), "nowhere"
    ),
    Case(
        "dataset source a wheel",
        DATASET,
        param("tasks.questions.source", "pypi:a==1/b"),
        "tasks.questions.source",
    ),
    Case("split file absent", DATASET, gone(TRAIN), "tasks.questions.splits.train|train.csv"),
    Case("split file a folder", DATASET, folder(TRAIN), "tasks.questions.splits.train|train.csv"),
    Case(
        "split file with a nul",
        DATASET,
        param("tasks.questions.splits.train", "a\0.csv"),
        "splits.train",
    ),
    Case(
        "split of another kind", DATASET, train("t.xlsx", "x"), "tasks.questions.splits.train|.csv"
    ),
    Case(
        "the same file twice",
        DATASET,
        param("tasks.questions.splits.test", "train.csv"),
        "splits.test",
    ),
    Case(
        "no test",
        DATASET,
        param("tasks.questions.splits.test", None),
        "tasks.questions.splits.test",
    ),
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
    Case(
        "csv in latin-1",
        DATASET,
        append(TRAIN, b"caf\xe9,1\n"),
        "train.csv|tasks.questions.encoding",
    ),
    Case("csv in utf-16", DATASET, write(TRAIN, "text,label\na,b\n".encode("utf-16")), "train.csv"),
    Case("csv binary", DATASET, write(TRAIN, bytes(range(256)) * 9), "train.csv"),
    Case(
        "csv with an empty text",
        DATASET,
        append(TRAIN, " ,who\n"),
        "empty text|tasks.questions.bad_rows",
    ),
    Case(
        "csv of another separator",
        DATASET,
        param("tasks.questions.separator", ";"),
        "text_key|text",
    ),
    Case(
        "separator of a quote",
        DATASET,
        param("tasks.questions.separator", '"'),
        "tasks.questions.separator",
    ),
    Case(
        "separator of a line end",
        DATASET,
        param("tasks.questions.separator", "\n"),
        "tasks.questions.separator",
    ),
    Case(
        "separator of two characters",
        DATASET,
        param("tasks.questions.separator", "::"),
        "separator",
    ),
    Case(
        "encoding unknown",
        DATASET,
        param("tasks.questions.encoding", "utf-88"),
        "tasks.questions.encoding|utf-88",
    ),
    Case(
        "encoding of no text",
        DATASET,
        param("tasks.questions.encoding", "hex"),
        "tasks.questions.encoding|hex",
    ),
    Case(
        "encoding with a nul",
        DATASET,
        param("tasks.questions.encoding", "u\0"),
        "tasks.questions.encoding",
    ),
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
        both(
            train("t.csv", "text,label\na,high\nb,low\n"),
            param("tasks.questions.type", "regression"),
        ),
        "train",
    ),
    Case(
        "tsv with quotes that quote nothing",
        DATASET,
        train("t.tsv", 'text\tlabel\na\tx\n"b he said\tx\n"c" he said\ty\n'),
        "t.tsv|lines 3 to 4|tasks.questions.quoting: none",
    ),
    Case(
        "csv without a header",
        DATASET,
        train("t.csv", "1,One,some words\n2,Two,more words\n"),
        "text_key|tasks.questions.columns: a name for each of its 3 fields",
    ),
    Case(
        "csv of semicolons",
        DATASET,
        train("t.csv", "text;label\na;x\n"),
        'tasks.questions.separator: ";"',
    ),
    Case(
        "a suffix that says nothing",
        DATASET,
        train("t.txt", "x\ta\n"),
        "t.txt|tasks.questions.format: lines",
    ),
    Case(
        "format unknown",
        DATASET,
        param("tasks.questions.format", "xls"),
        "tasks.questions.format|'csv'",
    ),
    Case(
        "quoting unknown",
        DATASET,
        param("tasks.questions.quoting", "some"),
        "tasks.questions.quoting|'none'",
    ),
    Case(
        "columns for a table that names its own",
        DATASET,
        both(parquet(text=["a"], label=[1]), param("tasks.questions.columns", ["text", "label"])),
        "t.parquet|leave tasks.questions.columns out",
    ),
    Case(
        "columns beyond the fields",
        DATASET,
        both(train("t.csv", "a,x\n"), param("tasks.questions.columns", ["text", "label", "more"])),
        "t.csv|at most 2 fields a line, 3 names",
    ),
    Case(
        "files side by side of two lengths",
        DATASET,
        both(
            write("source/texts.txt", "a\nb\n"),
            write("source/labels.txt", "x\n"),
            param("tasks.questions.splits.train", ["texts.txt", "labels.txt"]),
            param("tasks.questions.format", "lines"),
            param("tasks.questions.columns", ["text", "label"]),
        ),
        "tasks.questions.splits.train|texts.txt: 2 rows, labels.txt: 1 rows",
    ),
    Case(
        "a split of no files",
        DATASET,
        param("tasks.questions.splits.train", {}),
        "tasks.questions.splits.train",
    ),
    Case(
        "a split of a number",
        DATASET,
        param("tasks.questions.splits.train", 7),
        "tasks.questions.splits.train",
    ),
    Case(
        "a file for each class of no folder",
        DATASET,
        both(
            param("tasks.questions.source", "builtin:questions"),
            param("tasks.questions.splits.train", {"a": "train"}),
        ),
        "tasks.questions.splits.train|several files",
    ),
    Case(
        "part of a column that no row has",
        DATASET,
        both(
            train("t.jsonl", '{"text": {"a": ["x"]}, "label": 1}\n'),
            param("tasks.questions.text_key", "text.b"),
        ),
        "tasks.questions.text_key|text.b|text.a",
    ),
    Case(
        "test rows too many",
        DATASET,
        param("tasks.questions.test_rows", 10),
        "tasks.questions.test_rows|10|at most 9",
    ),
    Case(
        "train rows below the classes",
        DATASET,
        param("tasks.questions.train_rows", 2),
        "train_rows|at least 3",
    ),
    Case(
        "task unknown",
        DATASET,
        param("tasks.questions.type", "clasification"),
        "tasks.questions.type",
    ),
    Case("classes too many", DATASET, param("tasks.questions.num_classes", 9), "num_classes|9|3"),
    Case(
        "train rows too many",
        DATASET,
        param("tasks.questions.train_rows", 25),
        "tasks.questions.train_rows|25|24",
    ),
    Case(
        "template of no column",
        DATASET,
        both(
            param("tasks.questions.type", "causal_lm"),
            param("tasks.questions.text_key", None),
            param("tasks.questions.templates", ["{question} {label}"]),
        ),
        "question",
    ),
    Case(
        "template with a format",
        DATASET,
        both(
            param("tasks.questions.type", "causal_lm"),
            param("tasks.questions.text_key", None),
            param("tasks.questions.templates", ["{label!r}"]),
        ),
        "templates[0]",
    ),
    Case(
        "template with an open brace",
        DATASET,
        both(
            param("tasks.questions.type", "causal_lm"),
            param("tasks.questions.text_key", None),
            param("tasks.questions.templates", ["{label"]),
        ),
        "templates[0]",
    ),
    Case(
        "templates for a classifier",
        DATASET,
        param("tasks.questions.templates", ["{text}"]),
        "templates",
    ),
    Case(
        "text and target one column",
        DATASET,
        param("tasks.questions.target_key", "text"),
        "target_key",
    ),
    Case(
        "validation of half",
        DATASET,
        param("tasks.questions.validation_fraction", 0.5),
        "validation_fr",
    ),
    Case(
        "validation too few to carve",
        DATASET,
        both(
            param("tasks.questions.splits.validation", None),
            param("tasks.questions.validation_fraction", 0.01),
        ),
        "validation_fraction",
    ),
    Case(
        "validation seed negative",
        DATASET,
        param("tasks.questions.validation_seed", -1),
        "validation_seed",
    ),
    Case(
        "dataset pin of other bytes",
        DATASET,
        param("tasks.questions.sha256", {"train.csv": "0" * 64}),
        "tasks.questions.sha256.train.csv",
    ),
    Case(
        "target words for a list",
        DATASET,
        both(
            param("tasks.questions.type", "seq2seq"), param("tasks.questions.target_words", ["a"])
        ),
        "tasks.questions.target_words",
    ),
]

CASES = [*TABLES]
