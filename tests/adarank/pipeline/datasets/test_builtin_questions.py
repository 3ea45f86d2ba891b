import hashlib
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from adarank.pipeline.builtin import questions as module
from adarank.pipeline.builtin.questions import SOURCE, SPLITS, article, fill, fillers_of, questions
from adarank.pipeline.params.loader import read_yaml

LABELS = ["abbreviation", "description", "entity", "human", "location", "number"]
ROWS = {"train": 2400, "validation": 360, "test": 660}
SPLIT_SHA256 = {
    "train": "8cb27575ed975167a89b787480994549e3fcc42af1c0fc74fffc3f80efcfd96e",
    "validation": "159d2c953d1344b284914e921691e14f8e5403d819704e8a09938f62b7a340de",
    "test": "bf5d636d71ab5602516e3bf20c92da3c18e6f32d979d0e639f98c0f7938f97b4",
}
SENTENCES = SOURCE.with_name("sentences.txt")
SLOT = re.compile(r"\{(a )?([a-z|]+)2?\}")


@cache
def dataset() -> dict[str, pd.DataFrame]:
    return questions()


@cache
def templates() -> dict[str, dict[str, list[str]]]:
    source = read_yaml(SOURCE)["templates"]
    return {
        label: {split: lines.splitlines() for split, lines in splits.items()}
        for label, splits in source.items()
    }


@cache
def fillers() -> dict[str, dict[str, list[str]]]:
    source = read_yaml(SOURCE)
    return {split: fillers_of(source, split) for split in SPLITS}


def all_templates() -> list[str]:
    return [line for splits in templates().values() for lines in splits.values() for line in lines]


def split_sha256() -> dict[str, str]:
    """One digest a split, of its texts and labels in their order."""
    return {
        split: hashlib.sha256(
            "".join(f"{text}\t{label}\n" for text, label in rows).encode()
        ).hexdigest()
        for split, frame in questions().items()
        for rows in [zip(frame["text"], frame["label"], strict=True)]
    }


def template_words(split: str) -> dict[str, Counter[str]]:
    """Count for each word the templates of each label that use it, slots left out."""
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for label, splits in templates().items():
        for line in splits[split]:
            for word in set(re.findall(r"[a-z']+", SLOT.sub(" ", line).lower())):
                used[word][label] += 1
    return used


def grams(split: str, label: str, size: int) -> Counter[tuple[str, ...]]:
    """Count the texts of a label in which each run of words occurs."""
    frame = dataset()[split]
    counts: Counter[tuple[str, ...]] = Counter()
    for text in frame.loc[frame["label"] == label, "text"]:
        words = re.findall(r"[\w']+", text.lower())
        counts.update({tuple(words[i : i + size]) for i in range(len(words) - size + 1)})
    return counts


def pattern(template: str, split: str) -> str:
    """A regular expression for every text that a template can give in a split."""

    def options(slot: re.Match[str]) -> str:
        words = [re.escape(word) for name in slot[2].split("|") for word in fillers()[split][name]]
        return f"{'an? ' if slot[1] else ''}(?:{'|'.join(words)})"

    pieces = SLOT.split(template)[::3]
    slots = [options(slot) for slot in SLOT.finditer(template)]
    return "".join(
        re.escape(piece) + slot for piece, slot in zip(pieces, [*slots, ""], strict=True)
    )


def matching(texts: pd.Series, lines: list[str], split: str) -> pd.Series:
    either = re.compile("|".join(f"(?:{pattern(line, split)})" for line in lines), re.IGNORECASE)
    return texts.map(lambda text: either.fullmatch(text) is not None)


def test_splits_have_the_promised_rows_and_columns() -> None:
    assert {split: len(frame) for split, frame in dataset().items()} == ROWS
    for frame in dataset().values():
        assert list(frame.columns) == ["text", "label"]
        assert all(isinstance(value, str) for value in frame.to_numpy().ravel())


@pytest.mark.parametrize("split", SPLITS)
def test_every_label_is_there_and_all_but_abbreviation_are_balanced(split: str) -> None:
    counts = dataset()[split]["label"].value_counts()
    assert sorted(counts.index) == LABELS
    assert counts.drop("abbreviation").nunique() == 1
    assert counts["abbreviation"] >= counts.max() / 3


def test_rows_of_the_labels_are_mixed() -> None:
    head = dataset()["train"]["label"].head(100).value_counts()
    assert len(head) == len(LABELS)


def test_no_text_stands_twice() -> None:
    texts = pd.concat(dataset().values())["text"].str.casefold()
    assert texts[texts.duplicated()].tolist() == []


def test_the_splits_are_the_frozen_ones() -> None:
    assert split_sha256() == SPLIT_SHA256


def test_table_does_not_depend_on_the_hash_seed() -> None:
    home = "tests.adarank.pipeline.datasets.test_builtin_questions"
    command = f"from {home} import split_sha256; print(split_sha256())"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", command],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[4],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    assert [process.communicate()[0].strip() for process in running] == [str(SPLIT_SHA256)] * 2


def test_no_two_splits_share_a_filler() -> None:
    held = {
        split: {word.casefold() for words in lists.values() for word in words}
        for split, lists in fillers().items()
    }
    assert held["train"] & held["test"] == set()
    assert held["train"] & held["validation"] == set()
    assert held["validation"] & held["test"] == set()


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_fillers_of_every_list(split: str) -> None:
    short = {name: words for name, words in fillers()[split].items() if len(words) < 4}
    assert short == {}
    assert list(fillers()[split]) == list(fillers()["train"])


def test_texts_use_the_fillers_of_their_own_split_only() -> None:
    test_names = fillers()["test"]["city"] + fillers()["test"]["animal"]
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, test_names))})s?\b")
    assert dataset()["test"]["text"].str.contains(word).sum() > 50
    trained = dataset()["train"]["text"]
    found = [text for text in trained if word.search(text)]
    # Other lists' fillers hold some of these names inside longer ones.
    names = re.compile("Boston Tea Party|Congress of Vienna")
    assert [text for text in found if not names.search(text)] == []


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("label", LABELS)
def test_a_split_uses_every_template_of_its_own_and_no_other(label: str, split: str) -> None:
    frame = dataset()[split]
    texts = frame.loc[frame["label"] == label, "text"]
    lines = templates()[label][split]
    assert [line for line in lines if not matching(texts, [line], split).any()] == []
    assert matching(texts, lines, split).all()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_text_has_the_form_of_a_train_template(split: str) -> None:
    trained = [line for splits in templates().values() for line in splits["train"]]
    texts = dataset()[split]["text"]
    assert texts[matching(texts, trained, split)].tolist() == []


@pytest.mark.parametrize("label", LABELS)
def test_no_word_that_train_uses_for_one_label_alone_gives_a_test_template_away(label: str) -> None:
    train = template_words("train")
    cues = {word for word, by in train.items() if set(by) == {label} and by[label] > 1}
    assert cues
    tested = {word for word, by in template_words("test").items() if by[label]}
    assert tested & cues == set()


def test_no_word_that_recurs_in_test_templates_belongs_to_one_label() -> None:
    used = template_words("test")
    assert {word: by for word, by in used.items() if len(by) == 1 and by.total() > 2} == {}


@pytest.mark.parametrize("label", LABELS)
def test_test_shares_single_words_with_train_and_hardly_a_run_of_them(label: str) -> None:
    def shared(size: int) -> float:
        train, test = (grams(split, label, size) for split in ("train", "test"))
        return sum(test[gram] for gram in test if gram in train) / test.total()

    assert 0.3 < shared(1) < 0.6
    assert shared(2) < 0.15
    assert shared(3) < 0.05
    assert shared(4) < 0.01


def test_templates_are_different_and_have_a_slot() -> None:
    lines = all_templates()
    assert len(set(lines)) == len(lines)
    assert [line for line in lines if not SLOT.search(line)] == []


def test_slots_and_lists_name_each_other() -> None:
    used = {
        name
        for line in all_templates()
        for _, names in SLOT.findall(line)
        for name in names.split("|")
    }
    assert used == set(fillers()["train"])


def test_texts_are_whole_sentences() -> None:
    texts = pd.concat(dataset().values())["text"]
    assert texts[texts.str.contains(r"[{}|]|\s\s|^\s|\s$")].tolist() == []
    assert texts[~texts.str.contains(r"^[A-Z0-9].*[.?]$")].tolist() == []


def test_lists_used_in_the_plural_take_a_plain_s() -> None:
    names = {name for line in all_templates() for name in re.findall(r"\{([a-z]+)\}s\b", line)}
    assert {"animal", "machine", "plant", "profession"} <= names
    words = [word for split in SPLITS for name in names for word in fillers()[split][name]]
    assert [
        word for word in words if re.search(r"(?:[sxz]|ch|sh|(?<!f)fe?|[^aeiou]y)$", word)
    ] == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("owl", "an"),
        ("bat", "a"),
        ("umbrella", "an"),
        ("ukulele", "a"),
        ("hyena", "a"),
        ("hot air balloon", "a"),
        ("electric heater", "an"),
        ("Euro coin", "a"),
        ("Ibis", "an"),
    ],
)
def test_article(word: str, expected: str) -> None:
    assert article(word) == expected


def test_articles_in_the_texts_are_right() -> None:
    texts = pd.concat(dataset().values())["text"]
    assert texts.str.contains(r"\ban [aeiou]").sum() > 30
    wrong = texts[texts.str.contains(r"\b[Aa]n [^aeiouAEIOU]|\b[Aa] [aeiouAEIOU](?!kulele)")]
    assert wrong.tolist() == []


def test_fill_puts_articles_and_never_the_same_filler_twice() -> None:
    for turn in range(50):
        text = fill("{a animal} and {a animal2}", {"animal": ["owl", "bat"]}, turn)
        assert text in ("An owl and a bat", "A bat and an owl")


def test_fill_draws_from_either_list() -> None:
    texts = {
        fill("in {city|country}.", {"city": ["Oslo"], "country": ["Peru"]}, n) for n in range(30)
    }
    assert texts == {"In Oslo.", "In Peru."}


def test_too_few_fillers_are_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    source = read_yaml(SOURCE)
    source["rows"]["test"]["human"] = 5000
    monkeypatch.setattr(module, "_TRIES_PER_TEXT", 3)
    monkeypatch.setattr(module, "read_yaml", lambda _: source)
    with pytest.raises(RuntimeError, match=r"questions\.yaml: .* expected 5000; add fillers"):
        questions()


def test_sentences_are_many_different_and_of_all_lengths() -> None:
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    assert len(set(sentences)) == len(sentences) >= 64
    words = sorted(len(sentence.split()) for sentence in sentences)
    assert words[0] == 5 and words[-1] <= 40
    assert words[len(words) // 10] < 10 < 20 < words[-len(words) // 10]
    assert [line for line in sentences if not re.search(r'^["A-Z].*[.?!]"?$', line)] == []
