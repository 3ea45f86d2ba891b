"""docs/DATASETS.md: its keys read files of the forms that it names."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adarank.pipeline.datasets.section import DatasetSection
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import read_json
from stages.download_task import run
from tests.rows import SECTION

PAGE = Path(__file__).parents[5] / "docs/DATASETS.md"
WHO = ("the baker", "a nurse", "our pilot", "my uncle", "the clerk", "a diver")
DID = ("sold a boat", "lost a key", "won the race", "missed the train", "painted a door")
BLOCKS = dict(re.findall(r"^### (.+?)\n.*?```yaml\n(.*?)```", PAGE.read_text(), re.M | re.S))


def text(n: int) -> str:
    return f"{WHO[n % 6]} {DID[n % 5]} in {1900 + n}"


def quoted(n: int) -> str:
    """A text; about one in seven begins with a quote, or holds one."""
    return {0: f'"{text(n)}', 3: f'{text(n)}, "so'}.get(n % 7, text(n))


def save(name: str, lines: Iterable[str], encoding: str = "utf-8", end: str = "\n") -> None:
    Path(name).write_bytes("".join(line + end for line in lines).encode(encoding))


def tabs(*fields: object) -> str:
    return "\t".join(map(str, fields))


def commas(*fields: object) -> str:
    return ",".join('"' + str(field).replace('"', '""') + '"' for field in fields)


def both(train: str, test: str, line: Callable[[int], str], *header: str, **how: Any) -> None:
    """Write train of 90 rows and test of 60 others."""
    save(train, [*header, *map(line, range(90))], **how)
    save(test, [*header, *map(line, range(90, 150))], **how)


def cola() -> None:
    line = lambda n: tabs(f"gj{n % 3:02}", n % 2, "*" * (1 - n % 2), quoted(n))  # noqa: E731
    both("in_domain_train.tsv", "in_domain_dev.tsv", line)


def sst2() -> None:
    both("train.tsv", "dev.tsv", lambda n: tabs(f"{quoted(n)} ", n % 2), "sentence\tlabel")


def ag_news() -> None:
    line = lambda n: commas(n // 23 % 4 + 1, f"Title {n}", f'{text(n)}, "they" said')  # noqa: E731
    both("train.csv", "test.csv", line)


def yelp() -> None:
    both("train.csv", "test.csv", lambda n: commas(n % 2 + 1, f'{text(n)}!\\n"Wow"'))


def sms() -> None:
    texts = (quoted(n) + "\tand more" * (n == 5) for n in range(120))
    save("SMSSpamCollection", (tabs(("ham", "spam")[n % 5 == 0], t) for n, t in enumerate(texts)))


def sms_spreadsheet() -> None:
    rows = [f'{("ham", "spam")[n % 5 == 0]},"{text(n)} for 5\xa3",,,' for n in range(120)]
    save("spam.csv", ["v1,v2,,,", *rows], "latin-1")


def germeval() -> None:
    line = lambda n: tabs(quoted(n), *(("OTHER", "OTHER"), ("OFFENSE", "ABUSE"))[n % 2])  # noqa: E731
    both("germeval2018.training.txt", "germeval2018.test.txt", line)


def tweet_eval() -> None:
    for start, split in enumerate(("train", "val", "test")):
        rows = range(200 * start, 200 * start + 60)
        save(f"{split}_text.txt", (f"{quoted(n)}\u2028 @user" for n in rows))
        save(f"{split}_labels.txt", (str(n % 3) for n in rows))


def movie_reviews() -> None:
    save("rt-polarity.pos", (f"{text(n)}, na\xefve but fine" for n in range(60)), "latin-1")
    save("rt-polarity.neg", (f"{text(n)}, clich\xe9" for n in range(60)), "latin-1")


def mrpc() -> None:
    header = "\ufeff" + tabs("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    line = lambda n: tabs(n % 2, 7 * n, 9 * n, quoted(n), quoted(n + 1))  # noqa: E731
    both("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", line, header, end="\r\n")


def glue_pairs(first: str, second: str) -> None:
    label = ("entailment", "not_entailment")
    line = lambda n: tabs(n, quoted(n), quoted(n + 1), label[n % 2])  # noqa: E731
    both("train.tsv", "dev.tsv", line, tabs("index", first, second, "label"))


def qnli() -> None:
    glue_pairs("question", "sentence")
    with Path("train.tsv").open("a") as stream:
        stream.write("90\ta question without more\n")


def stsb() -> None:
    for start, split in enumerate(("train", "dev", "test")):
        rows = range(200 * start, 200 * start + 60)
        save(
            f"sts-{split}.csv",
            (
                tabs("main", "file", "2012", n, f"{n % 6}.{n % 10}00", quoted(n), quoted(n + 2))
                + "\tsource\tlicence" * (n % 4 == 0)
                for n in rows
            ),
        )


def gsm8k() -> None:
    row = lambda n: {"question": f"{text(n)}. How many?", "answer": f"Two.\n#### {n}"}  # noqa: E731
    both("train.jsonl", "test.jsonl", lambda n: json.dumps(row(n)))


def seeds() -> None:
    instance = lambda n: {"input": "" if n % 3 else f"in {n}", "output": f"out {n}"}  # noqa: E731
    row = lambda n: {"id": n, "instruction": text(n), "instances": [instance(n)]}  # noqa: E731
    save("seed_tasks.jsonl", (json.dumps(row(n)) for n in range(60)))


def stories() -> None:
    save("stories.txt", (text(n) if n % 10 else "" for n in range(100)))


# By heading: what writes the files, the rows of each split, and texts that some row has.
MADE: dict[str, tuple[Callable[[], None], tuple[int, int, int], dict[str, str]]] = {
    "CoLA": (cola, (81, 9, 60), {"text": quoted(0)}),
    "SST-2": (sst2, (81, 9, 60), {"text": quoted(0) + " "}),
    "AG News": (ag_news, (54, 6, 30), {}),
    "Yelp reviews": (yelp, (81, 9, 60), {"text": text(0) + '!\\n"Wow"'}),
    "SMS spam": (sms, (84, 12, 24), {}),
    "SMS spam, as a spreadsheet": (sms_spreadsheet, (84, 12, 24), {}),
    "GermEval": (germeval, (81, 9, 60), {"text": quoted(0)}),
    "TweetEval": (tweet_eval, (60, 60, 60), {"text": quoted(0) + "\u2028 @user"}),
    "Movie-review sentences": (movie_reviews, (84, 12, 24), {}),
    "MRPC": (mrpc, (81, 9, 60), {"text": quoted(0), "pair": quoted(1)}),
    "RTE": (lambda: glue_pairs("sentence1", "sentence2"), (81, 9, 60), {"pair": quoted(1)}),
    "QNLI": (qnli, (81, 9, 60), {"text": quoted(0), "pair": quoted(1)}),
    "STS-B": (stsb, (60, 60, 60), {"text": quoted(0), "pair": quoted(2)}),
    "GSM8K": (gsm8k, (81, 9, 60), {"response": "Two.\n#### 0"}),
    "Seed instructions": (seeds, (42, 6, 12), {}),
    "Plain text": (stories, (63, 9, 18), {}),
}


@pytest.mark.parametrize("name", MADE)
def test_the_keys_of_the_page_read_such_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, rows, first = MADE[name]
    make()
    keys = YAML(typ="safe", pure=True).load(BLOCKS[name])
    section = DatasetSection.model_validate(SECTION | {"source": "file:."} | keys)
    assert section.contradictions() == []
    run("task", section)
    note = read_json(Path("data/tasks/task/task.json"))
    assert tuple(note["rows"][split] for split in ("train", "validation", "test")) == rows
    assert note["shared_texts"] == {}
    tables = [read_parquet(path)[0] for path in Path("data/tasks/task").glob("*.parquet")]
    everything = [row for table in tables for row in table.to_dict("records")]
    assert any(first.items() <= row.items() for row in everything)


def test_every_block_of_the_page_is_tried():
    assert set(BLOCKS) == set(MADE)
