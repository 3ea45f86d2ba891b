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
