"""Words from a pull request are shown as they are and do nothing, by a real Markdown parser."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adarank.commands.pull_request.cells import CellChange
from adarank.commands.pull_request.changes import Artifacts, Change, moved
from adarank.commands.pull_request.lock import Stale
from adarank.commands.pull_request.markdown import code, codes, number, table
from adarank.commands.pull_request.report import Findings, as_markdown
from adarank.commands.pull_request.summary import Estimate, Study

HOSTILE = [
    "a | b",
    "a \\| b",
    "a \\\\| b",
    "`code`",
    "``` x",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "@everyone #1 http://example.com www.example.com",
    "[x](http://example.com) ![y](z)",
    "**bold** _it_ ~~no~~",
    "line\n\n# heading\r\n| x |",
    "--> <!-- hidden",
    "ends in \\",
    "\u202eoverride",
    "&lt;b&gt;",
]


def cells_of(markdown: str) -> list[list[str]]:
    """Parse a table; of every cell the kinds of its parts and their text."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    inline = [token for token in tokens if token.type == "inline"]
    return [[f"{part.type}:{part.content}" for part in token.children or []] for token in inline]


@given(st.text(max_size=200))
@example("\\|")
@example("``")
@example("` \\")
def test_a_table_stays_a_table_whatever_a_value_holds(value: str) -> None:
    found = cells_of(table(["a", "b"], [[code(value), "end"]]))
    assert len(found) == 4 and found[3] == ["text:end"]
    assert len(found[2]) == 1 and found[2][0].startswith(("code_inline:", "text:-"))


@given(st.text("\\|`a", max_size=20))
@example("a \\| b")
def test_every_bar_is_behind_an_odd_number_of_backslashes(value: str) -> None:
    # GitHub's parser reads two backslashes as one character, so after an even number a cell ends.
    assert all(len(run) % 2 == 1 for run in re.findall(r"(\\*)\|", code(value)))


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_in_their_span(value: str) -> None:
    (part,) = cells_of(f"{code(value)}")[0]
    assert part.startswith("code_inline:")
    assert "\n" not in code(value) and "\u202e" not in code(value)


def test_bars_are_read_back_as_they_were() -> None:
    assert cells_of(table(["h"], [[code("a | b")]]))[1] == ["code_inline:a | b"]


def test_long_values_and_long_lists_are_cut() -> None:
    assert len(code("x" * 1000)) < 200 and code("x" * 1000).endswith("...`")
    assert codes(range(20), most=3) == "`0`, `1`, `2` and 17 more"
    assert table(["h"], [["x"]] * 100).endswith("... and 40 rows more")
    assert code("") == "-" and number(None) == "-" and number(0.1 + 0.2) == "0.3"


def findings(**changes: object) -> Findings:
    evil = "x`|<b>@all\n# y"
    cell = CellChange(
        evil, Estimate(n=3, mean=0.9), Estimate(n=3, mean=0.8), 0.1, "kept", [evil], True
    )
    given: dict[str, object] = {
        "base": code(evil),
        "locked": True,
        "stale": [Stale(evil, [evil])],
        "gone": False,
        "head": Study(tasks={}, cells={}),
        "metric": evil,
        "max_drop": 0.02,
        "cells": [cell],
        "verdicts": [],
        "metrics": [Change(evil, evil, None)],
        "params": [Change(evil, [evil], {evil: evil})],
        "artifacts": [Artifacts(evil, [evil], [], [])],
    }
    return Findings(**{**given, **changes})  # pyright: ignore[reportArgumentType]


def test_a_whole_report_of_hostile_words_has_no_html_and_only_its_own_headings() -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(as_markdown(findings()))
    kinds = {part.type for token in tokens for part in (token.children or [token])}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    headings = [token for token in tokens if token.type == "heading_open"]
    assert [token.tag for token in headings] == ["h2"] + ["h3"] * 5
    texts = [p.content for t in tokens for p in (t.children or []) if p.type == "text"]
    assert not any("@" in text or "<b>" in text for text in texts)


def test_the_verdict_comes_first_and_names_what_fails() -> None:
    line = as_markdown(findings()).splitlines()[2]
    assert line.startswith("**FAIL**: dvc.lock is stale: ") and "got worse by 0.1" in line
    assert "`report.max_drop` 0.02" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"locked": False, "cells": []}, "no dvc.lock on either side"),
        ({"cells": []}, "no cell has a result on both sides"),
        ({"max_drop": None}, "no threshold is set"),
    ],
)
def test_a_pass_says_what_was_looked_at(changes: dict[str, object], words: str) -> None:
    found = findings(stale=[], **changes)
    assert found.passed and words in as_markdown(found).splitlines()[2]


@pytest.mark.parametrize(
    ("reason", "by"),
    [
        ("adarank/tuning: modified", "code"),
        ("adarank/errors.py: deleted", "code"),
        ("stages/score.py: modified", "code"),
        ("changed command", "code"),
        ("adarank/pipeline/builtin/sentences.txt: modified", "inputs"),
        ("params.yaml: finetune.steps modified", "inputs"),
        ("data/plans: not what the stages before make now, or with a left-over file", "inputs"),
        ("metrics/headline.json: modified", "inputs"),
        ("not in dvc.lock", "inputs"),
    ],
)
def test_a_stage_is_stale_by_code_or_by_inputs(reason: str, by: str) -> None:
    assert Stale("stage", [reason]).by == {by}


def test_results_that_are_gone_fail() -> None:
    found = findings(stale=[], cells=[], gone=True, head=None)
    assert not found.passed
    assert "`metrics/summary.json` is gone" in as_markdown(found).splitlines()[2]


def test_a_verdict_names_six_cells_and_counts_the_rest() -> None:
    many = findings(stale=[], cells=findings().cells * 9)
    assert "so do 3 cells more" in as_markdown(many).splitlines()[2]


def test_outputs_that_moved_are_sorted_by_folder() -> None:
    base = {"data/a": "1", "data/b": "2", "data/c": "3", "x/y/z": "1"}
    head = {"data/a": "1", "data/b": "9", "data/d": "4", "x/y/z": "2"}
    assert moved(base, head) == [
        Artifacts("data", ["b"], ["d"], ["c"]),
        Artifacts("x/y", ["z"], [], []),
    ]
    assert moved(base, base) == []
