"""A pull request as a run on GitHub sees it: a fresh clone, no data, no cache, no remote."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adarank.commands.pull_request.lock import stale_stages
from tests.pipeline.closure import ROOT
from tests.pipeline.conftest import Run
from tests.pipeline.project import Project
from tests.pipeline.tiny import Done, Tiny, make_tiny

pytestmark = pytest.mark.pipeline

WORSE = {"uniform": 0.8, "disagreement": 0.87}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "made")


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path) -> Tiny:
    shutil.copytree(made.path, tmp_path / "tiny", symlinks=True)
    return Tiny(tmp_path / "tiny")


def verdict(done: Done) -> str:
    (line,) = [line for line in done.report.splitlines() if line.startswith(("**PASS", "**FAIL"))]
    assert done.report.splitlines()[2] == line
    return line


def row(done: Done, cell: str) -> str:
    (line,) = [
        line for line in done.report.splitlines() if line.startswith(f"| `questions/{cell}` | 0")
    ]
    return line


def test_an_unchanged_study_passes(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.path / "README.md").write_text("Words alone.\n")
    tiny.commit("Words")
    clone = tiny.cloned()
    page = tmp_path / "page.md"
    page.write_text("Earlier step.\n")
    done = clone.report(GITHUB_STEP_SUMMARY=str(page))
    assert done.code == 0, done.messages
    assert verdict(done) == (
        "**PASS**: dvc.lock is up to date; no cell got worse by more than `report.max_drop` 0.02"
    )
    assert "### Parameters" not in done.report and "+0 |" in row(done, "uniform-4")
    assert (clone.path / "pr-report/report.md").read_text() == done.report
    assert page.read_text() == f"Earlier step.\n{done.report}"
    assert "Results by budget" in (clone.path / "pr-report/plots/index.html").read_text()
    assert clone.git("status", "--porcelain") == ""


def test_a_changed_budget_shows_cells_added_and_removed(tiny: Tiny) -> None:
    tiny.change(study__budgets=[8])
    shutil.rmtree(tiny.path / "data")
    tiny.repro()
    tiny.git(
        "rm",
        "-q",
        "metrics/cells/uniform-4.json",
        "metrics/cells/disagreement-4.json",
    )
    tiny.repro()
    tiny.commit("Budget 8")
    done = tiny.cloned().report()
    assert done.code == 0, done.report + done.messages
    assert "removed" in row(done, "uniform-4")
    assert "| `questions/uniform-8` | - | 0.8 ± 0.0248 | - | - → 3 | added |" in done.report
    assert "| `study.budgets` | `[4]` | `[8]` |" in done.report
    plans = "`disagreement-8.json`, `uniform-8.json` | `disagreement-4.json`, `uniform-4.json` |"
    assert f"| `data/plans` | - | {plans}" in done.report
    assert "| `questions/disagreement-8` | `questions/uniform-8` | - | `better` |" in done.report


def test_a_stale_lock_fails_with_its_stages_and_the_remedy(tiny: Tiny) -> None:
    tiny.change(train__epochs=5)
    tiny.commit("More epochs, not run")
    done = tiny.cloned().report()
    assert done.code == 1
    stale = "`plan@uniform-4`, `plan@disagreement-4`"
    assert verdict(done) == f"**FAIL**: dvc.lock is stale: {stale}"
    assert "`params.yaml: train modified`" in done.report and "`dvc repro`" in done.report


@pytest.mark.parametrize(
    ("by", "code", "words"),
    [
        (["inputs"], 0, "dvc.lock is stale by code alone, which `report.stale_fails` allows"),
        (["code"], 1, "dvc.lock is stale: "),
        ([], 0, "dvc.lock is stale by code alone"),
    ],
)
def test_a_parameter_says_whether_stale_code_fails(
    tiny: Tiny, by: list[str], code: int, words: str
) -> None:
    tiny.change(report__stale_fails=by)
    tiny.repro()
    with (tiny.path / "tiny.py").open("a") as file:
        file.write("# an edit\n")
    tiny.commit("Code alone")
    done = tiny.cloned().report()
    assert done.code == code and words in verdict(done)
    assert "| `gather` | code | `tiny.py: modified` |" in done.report


def test_stale_parameters_fail_where_stale_code_may_not(tiny: Tiny) -> None:
    tiny.change(report__stale_fails=["inputs"])
    tiny.repro()
    tiny.change(train__epochs=5)
    with (tiny.path / "tiny.py").open("a") as file:
        file.write("# an edit\n")
    tiny.commit("Both")
    done = tiny.cloned().report()
    assert done.code == 1 and "dvc.lock is stale: `plan@" in verdict(done)
    assert "`gather`" not in verdict(done)
    assert "| `plan@uniform-4` | code, inputs | " in done.report


def test_a_fall_beyond_the_threshold_fails_with_its_row(tiny: Tiny) -> None:
    tiny.change(train__quality=WORSE)
    tiny.repro()
    tiny.commit("Worse")
    done = tiny.cloned().report()
    assert done.code == 1
    assert verdict(done) == (
        "**FAIL**: `questions/disagreement-4` got worse by 0.03 (`report.max_drop` 0.02)"
    )
    found = row(done, "disagreement-4")
    assert "| 0.9 | 0.87 ± 0.0248 | -0.03 | 3 | **too far**; outside noise, 0.0052 beyond" in found
    assert "too far" not in row(done, "uniform-4")


def test_a_threshold_of_null_fails_nothing_and_its_change_is_told(tiny: Tiny) -> None:
    tiny.change(train__quality=WORSE, report__max_drop=None)
    tiny.repro()
    tiny.commit("Worse, and allowed")
    done = tiny.cloned().report()
    assert done.code == 0 and "no threshold is set" in verdict(done)
    assert "What fails a pull request changes itself" in done.report
    assert "| `report.max_drop` | 0.02 | - |" in done.report


def test_a_seed_that_newly_fails_is_named_and_fails(tiny: Tiny) -> None:
    tiny.change(train__failing={"disagreement-4": [2]})
    tiny.repro()
    tiny.commit("A seed fails")
    done = tiny.cloned().report()
    assert done.code == 1 and "`questions/disagreement-4` lost results (1 seed" in verdict(done)
    found = row(done, "disagreement-4")
    assert "3 → 2 | **newly failed** `seed 2: step 3: training \\| has become" in found


def test_a_cell_whose_every_seed_fails_is_named(tiny: Tiny) -> None:
    tiny.change(train__failing={"disagreement-4": [0, 1, 2]})
    tiny.repro()
    tiny.commit("All fail")
    done = tiny.cloned().report()
    assert done.code == 1 and "`questions/disagreement-4` lost results (3 seeds" in verdict(done)
    assert "| 0.9 | - | - | 3 → -" in row(done, "disagreement-4")


def test_a_renamed_headline_is_told_and_hides_no_fall(tiny: Tiny) -> None:
    tiny.change(train__metric="macro_f1", train__quality=WORSE)
    tiny.repro()
    tiny.commit("Another headline")
    done = tiny.cloned().report()
    assert done.code == 1 and "`questions/disagreement-4` got worse by 0.03" in verdict(done)
    assert "questions: the headline metric was `accuracy` and is `macro_f1`" in done.report
    assert "### Cells by `accuracy`" in done.report


def test_the_first_pull_request_has_nothing_to_compare_with(tiny: Tiny) -> None:
    (tiny.path / "dvc.lock").unlink()
    shutil.rmtree(tiny.path / "metrics")
    tiny.git("checkout", "-qb", "before")
    tiny.commit("Before any study")
    tiny.repro()
    tiny.git("checkout", "-qb", "first")
    tiny.commit("The first study")
    done = tiny.cloned().report("origin/before")
    assert done.code == 0, done.report + done.messages
    assert "no cell has a result on both sides" in verdict(done)
    assert "The base has no `metrics/summary.json`" in done.report
    assert "| `questions/uniform-4` | - | 0.8 ± 0.0248 | - | - → 3 | added |" in done.report


def test_without_any_lock_there_is_nothing_to_hold_it_to(tiny: Tiny) -> None:
    (tiny.path / "dvc.lock").unlink()
    shutil.rmtree(tiny.path / "metrics")
    tiny.git("checkout", "-qb", "before")
    tiny.commit("No study")
    done = tiny.cloned().report("before")
    assert done.code == 0 and "no dvc.lock on either side" in verdict(done)
    assert "### Cells\n" in done.report


def test_a_base_of_another_form_is_told(tiny: Tiny) -> None:
    tiny.git("checkout", "-q", "main")
    (tiny.path / "metrics/summary.json").write_text('{"uniform-4": {"accuracy": 0.8}}')
    tiny.commit("As it once was")
    tiny.git("checkout", "-qb", "later")
    tiny.git("checkout", "-q", "change", "--", "metrics")
    tiny.commit("As it is")
    done = tiny.cloned().report()
    assert done.code == 0 and "is of another form" in done.report


@pytest.mark.parametrize(
    ("options", "base", "words"),
    [
        (("--depth", "1"), "main", "fetch-depth: 0"),
        ((), "nosuch", "no such revision"),
        ((), "--version", "no such revision"),
    ],
)
def test_what_cannot_be_compared_ends_with_two(
    tiny: Tiny, options: tuple[str, ...], base: str, words: str
) -> None:
    done = tiny.cloned(*options).report(base)
    assert done.code == 2 and words in done.messages and done.report == ""


def test_a_bad_section_ends_with_two(tiny: Tiny) -> None:
    tiny.change(report__max_drop=-1)
    done = tiny.report()
    assert done.code == 2 and "report.max_drop" in done.messages


def test_with_the_data_here_and_work_not_committed_it_is_told(tiny: Tiny) -> None:
    tiny.change(train__quality=WORSE)
    tiny.repro()
    done = tiny.report()
    assert done.code == 1 and "got worse by 0.03" in verdict(done)
    assert "Not committed yet, and read as it is: `dvc.lock`" in done.report


def stale(place: Tiny | Project) -> dict[str, list[str]]:
    with contextlib.chdir(place.path):
        return {one.stage: one.reasons for one in stale_stages()}


@pytest.mark.parametrize("fresh", [True, False], ids=["clone", "with data"])
def test_the_gate_names_each_stage_with_what_is_not_as_locked(tiny: Tiny, fresh: bool) -> None:
    place = tiny.cloned() if fresh else tiny
    assert stale(place) == {}
    (place.path / "metrics/headline.json").write_text("{}")
    assert stale(place) == {"gather": ["metrics/headline.json: modified"]}
    (place.path / "metrics/headline.json").unlink()
    assert stale(place) == {"gather": ["metrics/headline.json: deleted"]}
    place.git("checkout", "-q", ".")
    with (place.path / "tiny.py").open("a") as code:
        code.write("# an edit\n")
    assert set(stale(place)) == {"gather", "plan@uniform-4", "plan@disagreement-4"}
    place.git("checkout", "-q", ".")
    place.change(study__budgets=[4, 8])
    assert stale(place)["plan@uniform-8"] == ["not in dvc.lock"]
    place.git("checkout", "-q", ".")
    place.change(report__max_drop=0.5)
    assert stale(place) == {}


def test_a_stage_not_run_after_the_one_before_it_is_stale(tiny: Tiny) -> None:
    # It reads the plans, which DVC's own check takes on trust where they are not here.
    tiny.change(train__epochs=5)
    tiny.repro("plan@uniform-4", "plan@disagreement-4")
    tiny.commit("Half a run")
    assert list(stale(tiny.cloned())) == ["gather"]


def test_a_left_over_plan_that_a_clone_would_not_have_is_stale(tiny: Tiny) -> None:
    (tiny.path / "data/plans/old-4.json").write_text("{}")
    tiny.repro()
    tiny.commit("With a file that nothing makes")
    for place in (tiny.cloned(), tiny):
        (reason,) = stale(place)["gather"]
        assert reason.startswith("data/plans: ") and "left-over" in reason


def test_the_report_needs_no_torch() -> None:
    # What `make pr-report` installs, on a runner with nothing else.
    heavy = "{'torch', 'transformers', 'peft', 'datasets', 'scipy', 'sklearn'}"
    code = f"import sys, adarank.commands.pull_request.__main__; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_the_real_pipeline_passes_its_gate_with_data_and_without(
    first: Run, tmp_path: Path
) -> None:
    assert stale(first.project) == {}
    bare = Project(tmp_path / "bare")
    ignored = shutil.ignore_patterns("data", "cache", "tmp", "timings")
    shutil.copytree(first.project.path, bare.path, ignore=ignored)
    assert stale(bare) == {}
    bare.change(report__max_drop=0.5)
    assert stale(bare) == {}
    bare.change(allocate__seed=9)
    changed = ["params.yaml: allocate modified"]
    planned = [f"allocate@{cell}-2" for cell in ("uniform", "disagreement")]
    assert stale(bare) == dict.fromkeys([*planned, "report"], changed)
