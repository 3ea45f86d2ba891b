"""Rows that were cut, said in a line for each split."""

from adarank.tasks.cut import cut_caveats, cut_in_words

CUT = {"rows": 1319, "cut": 1277, "uncounted": 306, "unanswered": 306}
WHOLE = {"rows": 100, "cut": 0, "unanswered": 0}


def test_only_splits_with_cut_rows_are_said():
    assert cut_in_words({"train": WHOLE, "test": WHOLE}) == []
    few = {"rows": 1000, "cut": 7, "unanswered": 0}
    assert cut_in_words({"train": few, "test": WHOLE}) == [
        "7 of 1,000 rows of train are cut (finetune.max_length)"
    ]
    long = {"rows": 90, "cut": 0, "unanswered": 2}
    assert cut_in_words({"test": long}) == [
        "2 of 90 rows of test have answers longer than may be written (max_new_tokens)"
    ]


def test_a_study_says_it_once_and_not_of_train():
    cell = {"cell": "a", "cut": {"train": CUT, "test": CUT, "validation": WHOLE}}
    said = cut_caveats([cell, cell | {"cell": "b"}, {"cell": "old"}])
    assert said == [
        "1,277 of 1,319 rows of test are cut (finetune.max_length); "
        "306 of them lost every token that counts, so 1,013 rows are measured"
    ]


def test_rows_without_an_answer_are_told_from_those_that_are_not_measured():
    part = {"rows": 50, "cut": 9, "uncounted": 2, "unanswered": 5}
    assert cut_in_words({"test": part}) == [
        "9 of 50 rows of test are cut (finetune.max_length); 2 of them lost every token that "
        "counts, so 48 rows are measured; 3 that are measured have no answer left to compare with"
    ]
    bare = {"rows": 50, "cut": 0, "uncounted": 2, "unanswered": 0}
    assert cut_in_words({"test": bare}) == [
        "2 of 50 rows of test have no token that counts, so 48 rows are measured"
    ]
