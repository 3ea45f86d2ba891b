"""The workflows: little rights, no logic, and nothing of a pull request's words in a shell."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.pipeline.closure import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: YAML(typ="safe").load(path) for path in sorted(FOLDER.glob("*.yml"))}
# Commands that decide nothing; what decides is in Python or the Makefile, and tested there.
COMMANDS = (
    r"make [a-z-]+",
    r"\.ci/run",
    r'python3 -m adarank\.commands\.pull_request\.comment "\$REPORT"',
    r"apt-get update && apt-get install --yes --no-install-recommends chromium",
)


def jobs(name: str) -> list[dict[str, Any]]:
    return list(WORKFLOWS[name]["jobs"].values())


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name) for step in job["steps"]]


def checkout(name: str) -> dict[str, Any]:
    (found,) = [s["with"] for s in steps(name) if s.get("uses", "").startswith("actions/checkout@")]
    return found


def test_they_are_all_there() -> None:
    assert set(WORKFLOWS) == {"ci", "metrics", "metrics-comment", "reproduce"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_workflow_is_limited_in_rights_time_and_number(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    assert WORKFLOWS[name]["concurrency"]["group"].startswith(name)
    for job in jobs(name):
        assert job["permissions"]["contents"] == "read" and job["timeout-minutes"]
    writes = [key for job in jobs(name) for key, how in job["permissions"].items() if how != "read"]
    assert writes == (["pull-requests"] if name == "metrics-comment" else [])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_step_has_logic_or_a_pull_requests_words_in_its_shell(name: str) -> None:
    for step in steps(name):
        command = step.get("run")
        assert (command is None) != ("uses" not in step)
        if command is not None:
            assert "${{" not in command
            assert any(re.fullmatch(known, command) for known in COMMANDS), command
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_secret_is_needed_and_no_token_is_left_in_the_checkout(name: str) -> None:
    assert "secrets." not in (FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    assert checkout(name)["persist-credentials"] is False
    assert "pull_request_target" not in WORKFLOWS[name]["on"]


def test_the_report_sees_the_whole_history() -> None:
    assert checkout("metrics")["fetch-depth"] == 0
    assert checkout("reproduce")["fetch-depth"] == 0


def test_the_comment_is_written_by_code_of_the_default_branch() -> None:
    assert WORKFLOWS["metrics-comment"]["on"]["workflow_run"]["workflows"] == ["metrics"]
    assert checkout("metrics-comment")["ref"] == "${{ github.event.repository.default_branch }}"
    (download,) = [s["with"] for s in steps("metrics-comment") if "download" in s.get("uses", "")]
    assert download["path"].startswith("${{ runner.temp }}/")  # outside of the code that runs


def test_forks_never_reach_the_machine_with_a_gpu() -> None:
    (job,) = jobs("reproduce")
    assert "self-hosted" in job["runs-on"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in job["if"]
    assert "github.event.label.name == 'reproduce'" in job["if"]
    assert checkout("reproduce")["ref"] == "${{ github.event.pull_request.head.sha }}"
    assert [n for n in WORKFLOWS if n != "reproduce" and "self-hosted" in str(WORKFLOWS[n])] == []


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        s["run"].split()[1] for n in WORKFLOWS for s in steps(n) if "make " in s.get("run", "")
    }
    assert named == {"pr-report", "pr-reproduce"}
    assert all(f"\n{target}: " in makefile for target in named)
