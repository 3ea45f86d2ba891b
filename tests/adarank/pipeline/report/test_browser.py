"""The report in a real browser, from a file, without a network."""

import csv
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adarank.pipeline.files.whole import read_json
from adarank.pipeline.report.palette import INK, SURFACE
from stages.report import app
from tests.reports import Fixture, full_study, write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt install chromium"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of fourteen strategies, two budgets and five seeds, with its report."""
    folder = tmp_path_factory.mktemp("study")
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_study(full_study())
        result = CliRunner().invoke(app, [])
        assert result.exit_code == 0, result.output
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


Opened = Callable[..., Any]
PATIENCE = 120_000  # milliseconds, for a machine that is busy


@contextmanager
def opening(browser: Any, study: Path) -> Iterator[Opened]:
    """Opens the report with a context's options; in the end nothing may have been amiss."""
    amiss: list[str] = []
    contexts: list[Any] = []

    def noted(page: Any) -> None:
        page.on("console", lambda m: amiss.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: amiss.append(f"error: {error}"))
        page.on("request", lambda r: amiss.append(r.url) if _outside(r.url) else None)

    def open_report(**options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 900}} | options
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        noted(page)
        page.goto((study / "report/index.html").as_uri())
        page.wait_for_selector("html[data-ready=true]")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert amiss == []


@pytest.fixture
def opened(browser: Any, study: Path) -> Iterator[Opened]:
    with opening(browser, study) as open_report:
        yield open_report


@pytest.fixture(scope="module")
def desk(browser: Any, study: Path) -> Iterator[Any]:
    """The report on a wide screen, open for all tests that can share it."""
    with opening(browser, study) as open_report:
        yield open_report()


def _outside(url: str) -> bool:
    return not url.startswith(("file:", "blob:", "data:"))


def drawn(page: Any, chart: str) -> Any:
    return page.evaluate(
        "name => JSON.parse(JSON.stringify(document.getElementById(name).data))", chart
    )


def column(page: Any, name: str, of: str = "dataset.value") -> list[str]:
    index = "name => document.querySelector(`#cells-questions th[data-name='${name}']`).cellIndex"
    at = page.evaluate(index, name)
    rows = f"rows => rows.map(row => row.cells[{at}].{of})"
    return page.eval_on_selector_all("#cells-questions tbody tr", rows)


def background(page: Any, chart: str = "frontier-questions") -> str:
    return page.evaluate(
        "name => document.querySelector(`#${name} .main-svg`).style.background", chart
    )


def ink(page: Any) -> str:
    return drawn(page, "frontier-questions")[0]["marker"]["color"]


def eventually(true: Callable[[], bool]) -> None:
    """Wait until something is true; the page's own policy forbids playwright's way to wait."""
    end = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_it_opens_without_a_word_and_asks_for_nothing(desk: Any) -> None:
    page = desk
    marks = page.locator("#frontier-questions .scatterlayer .points path").count()
    assert marks == 27, "every cell with a result"
    assert page.locator("#forest-questions .scatterlayer .trace").count() >= 29
    assert page.title().startswith("AdaRank report")


def test_the_numbers_on_the_page_are_the_summarys(desk: Any, study: Path) -> None:
    page = desk
    summary = read_json(study / "metrics/summary.json")
    assert page.locator(".verdict").inner_text() == summary["verdict"]
    sentences = page.locator(".sentences li span:last-child").all_inner_texts()
    assert sentences == [one["sentence"] for one in summary["comparisons"]]
    means = dict(zip(column(page, "cell"), column(page, "accuracy"), strict=True))
    texts = dict(zip(column(page, "cell"), column(page, "accuracy", "innerText"), strict=True))
    assert {f"questions/{name}" for name in means} == summary["cells"].keys()
    for key, cell in summary["cells"].items():
        name = key.removeprefix("questions/")
        mean = cell["metrics"].get("accuracy", {}).get("mean")
        assert means[name] == ("" if mean is None else str(mean))
        assert texts[name] == ("–" if mean is None else f"{100 * mean:.2f}")
    on_page = {p["x"][0] for p in drawn(page, "forest-questions")[1:] if p.get("error_x")}
    differences = [c["difference"] for c in summary["comparisons"] if c["difference"] is not None]
    assert sorted(on_page) == pytest.approx(sorted(100 * one for one in differences))


@pytest.mark.parametrize(
    ("chart", "wanted"),
    [
        ("ranks-questions", "fisher-4"),
        ("curves-questions", "permuted-0.5"),
        ("confusion-questions", "permuted-0.5"),
        ("scores-questions", "linearized"),
    ],
)
def test_choosing_another_view_redraws_the_figure_and_its_words(
    desk: Any, chart: str, wanted: str
) -> None:
    page = desk
    views = page.get_by_label(chart_label(chart), exact=True)
    assert views.count() == 1
    views.select_option(index=0)
    first = drawn(page, chart)
    views.select_option(label=wanted)
    assert drawn(page, chart) != first
    assert wanted in page.get_attribute(f"#{chart}", "aria-label")
    shown = page.locator(f"details.view[data-chart={chart}]:not([hidden]) > summary")
    assert shown.all_inner_texts() == [f"The numbers of {wanted}"]
    views.press("Home")
    assert drawn(page, chart) == first, "by keyboard back to the first"


def chart_label(chart: str) -> str:
    labels = {"ranks": "Plan", "curves": "Cell", "scores": "Signal", "confusion": "Confusion of"}
    return labels[chart.split("-")[0]]


def test_the_ranks_drawn_are_the_chosen_plans(desk: Any, study: Path) -> None:
    page = desk
    page.get_by_label("Plan", exact=True).select_option(label="fisher-4")
    (heat,) = drawn(page, "ranks-questions")
    plan = read_json(study / "data/plans/fisher-4/questions.json")
    assert sum(map(sum, heat["z"])) == sum(module["rank"] for module in plan["modules"])


def test_a_heading_sorts_by_mouse_and_by_keyboard(desk: Any) -> None:
    page = desk
    heading = page.locator("th[data-name=accuracy]")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    *values, last = column(page, "accuracy")
    assert last == "", "a cell without a result comes last"
    assert [float(v) for v in values] == sorted(float(v) for v in values)
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    *values, last = column(page, "accuracy")
    assert last == "" and [float(v) for v in values] == sorted(map(float, values), reverse=True)
    page.locator("th[data-name=cell] button").press("Space")
    assert heading.get_attribute("aria-sort") == "none"
    assert column(page, "cell") == sorted(column(page, "cell"))


def test_the_csv_is_the_table_as_it_is_sorted(desk: Any, study: Path) -> None:
    page = desk
    page.locator("th[data-name=difference] button").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert download.value.suggested_filename == "adarank-questions.csv"
    assert len(rows) == 28
    for name in rows[0]:
        assert [row[name] for row in rows] == column(page, name), name
    cells = read_json(study / "metrics/summary.json")["cells"]
    for row in rows:
        one = cells[f"questions/{row['cell']}"]["metrics"].get("macro_f1")
        assert row["macro_f1"] == ("" if one is None else str(one["mean"]))


@pytest.mark.parametrize("width", [390, 320, 768])
def test_the_page_does_not_scroll_sideways(opened: Opened, width: int) -> None:
    page = opened(viewport={"width": width, "height": 844})
    for details in page.locator("details:not([hidden])").all():
        details.evaluate("one => { one.open = true; }")
    wide, seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == seen == width
    assert page.evaluate("document.querySelector('#cells-questions').offsetWidth") > width


def test_turning_a_phone_redraws_to_its_width(opened: Opened) -> None:
    page = opened(viewport={"width": 390, "height": 844})
    narrow = page.locator("#forest-questions .main-svg").first.bounding_box()
    page.set_viewport_size({"width": 844, "height": 390})
    eventually(
        lambda: page.locator("#forest-questions .main-svg").first.bounding_box()["width"] > 700
    )
    wide = page.locator("#forest-questions .main-svg").first.bounding_box()
    assert narrow["width"] <= 390 and wide["height"] < narrow["height"]


def test_the_figures_follow_the_systems_colours(opened: Opened) -> None:
    page = opened(color_scheme="dark")
    assert background(page) == rgb(SURFACE.dark)
    assert ink(page) == INK.dark
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert body == rgb(SURFACE.dark)
    page.emulate_media(color_scheme="light")
    eventually(lambda: ink(page) == INK.light)
    assert background(page) == rgb(SURFACE.light)


def test_paper_is_light_whole_and_without_controls(opened: Opened) -> None:
    page = opened(color_scheme="dark")
    page.emulate_media(color_scheme="dark", media="print")
    eventually(lambda: ink(page) == INK.light)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb(SURFACE.light)
    assert not page.locator("select").first.is_visible()
    assert not page.get_by_role("button", name="Download as CSV").is_visible()
    assert page.locator("#ranks-questions-shown").is_visible()
    assert all(one.is_visible() for one in page.locator(".sentences li").all())
    for name in ("forest", "seeds", "frontier", "confusion", "ranks", "scores", "curves"):
        chart = f"{name}-questions"
        assert page.locator(f"#{chart} .main-svg").first.bounding_box()["width"] <= 690, chart
    assert page.evaluate("document.querySelector('details.origin').open")
    page.emulate_media(color_scheme="dark", media="screen")
    eventually(lambda: ink(page) == INK.dark)
    assert not page.evaluate("document.querySelector('details.origin').open")


def test_a_study_of_two_cells_and_one_seed_opens_too(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(Fixture(strategies=("uniform", "disagreement"), seeds=(0,), signals=()))
    assert CliRunner().invoke(app, []).exit_code == 0
    amiss: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: amiss.append(m.text))
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.goto((tmp_path / "report/index.html").as_uri())
    page.wait_for_selector("html[data-ready=true]")
    assert page.locator("#frontier-questions .points path").count() == 2
    assert page.locator("#scores-questions").count() == 0 and amiss == []
    page.close()
