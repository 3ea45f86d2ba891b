"""Training and scoring in parts: what a part holds, which are sent, what a failed one says."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adarank.commands.sweep.outcome import Sent
from adarank.commands.sweep.parts import Cut, send_parts, waves, why_not_cut
from adarank.pipeline.clusters.blobs import Blobs
from adarank.pipeline.clusters.steps import Step, Unit
from adarank.pipeline.scratch.shelf import FolderShelf
from tests.cells import write_params, write_project

STAGE = "finetune@questions-explicit-2"
COMMAND = "python -m stages.finetune --task questions --strategy explicit --budget 2"
CELL = Step(STAGE, COMMAND, {}, "code", {}, (), ("data/adapters",), {})
UNIT = Unit("questions/explicit-2", (CELL, replace(CELL, stage="evaluate@x")), "", {})


@pytest.fixture(autouse=True)
def project(tmp_path: Path, pico_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(pico_model)
    write_params(learning_rate=[2e-2, 1e-2], tuning_seed=[98, 99])


def options(size: int, unit: Unit = UNIT) -> list[list[str]]:
    """List what the parts' commands have beside the cell's own."""
    return [
        [p.steps[0].command.removeprefix(f"{COMMAND} --only ") for p in w]
        for w in waves(unit, Cut(runs=size))
    ]


@pytest.mark.parametrize(
    ("size", "rates", "seeds"),
    [
        (0, [], []),
        (1, ["rate:0:1", "rate:1:2", "rate:2:3", "rate:3:4"], ["seed:0:1", "seed:1:2"]),
        # The cell's own unit trains the seeds where one unit would.
        (3, ["rate:0:3", "rate:3:4"], []),
        (4, [], []),
    ],
)
def test_parts_hold_so_many_runs(size: int, rates: list[str], seeds: list[str]) -> None:
    assert options(size) == [wave for wave in (rates, seeds) if wave]


def test_runs_that_are_trained_at_once_stay_together() -> None:
    write_params(seeds=(0, 1, 2, 3, 4), together=2)
    assert options(1) == [["seed:0:2", "seed:2:4", "seed:4:5"]]
    assert options(3) == [["seed:0:4", "seed:4:5"]]


def test_other_stages_have_no_parts() -> None:
    assert options(1, replace(UNIT, steps=(replace(CELL, command="python work.py a"),))) == []


def test_a_part_makes_no_files_and_has_names_of_its_own() -> None:
    found = [part for wave in waves(UNIT, Cut(runs=1)) for part in wave]
    assert [part.name for part in found[-2:]] == [
        "questions/explicit-2: seed 0 at the chosen learning rate",
        "questions/explicit-2: seed 1 at the chosen learning rate",
    ]
    assert found[1].name == "questions/explicit-2: seed 99 at learning rate 0.02"
    assert {part.steps[0].outs for part in found} == {()}
    assert len({part.steps[0].digest() for part in [*found, UNIT]}) == len(found) + 1
    write_params()
    assert waves(UNIT, Cut(runs=1))[0][0].name.endswith("seed 0 at learning rate 0.02")


class Cluster:
    """Ends every part as asked, and lists what it was sent."""

    def __init__(self, failing: Mapping[str, Sent]):
        self.sent: list[str] = []
        self._failing = failing

    async def send(self, unit: Unit) -> Sent:
        self.sent.append(unit.name.partition(": ")[2])
        done: dict[str, Any] = {"happened": {STAGE: "ran"}}
        return next((s for n, s in self._failing.items() if n in unit.name), Sent(done))


def sent(tmp_path: Path, failing: Mapping[str, Sent]) -> tuple[Sent | None, list[str]]:
    cluster, blobs = Cluster(failing), Blobs(FolderShelf(tmp_path / "store"))
    return asyncio.run(send_parts(UNIT, Cut(runs=1), blobs, cluster.send)), cluster.sent


def test_a_failed_part_ends_its_wave_alone_and_is_named(tmp_path: Path) -> None:
    lost, crashed = Sent({}, "node died"), Sent({"happened": {}, "failed": STAGE})
    found, names = sent(tmp_path, {"seed 99 at learning rate 0.02": lost, "rate 0.01": crashed})
    assert found is not None and found.why == "node died"
    assert [name.partition(": ")[2] for name in found.parts] == [
        "seed 99 at learning rate 0.02",
        "seed 98 at learning rate 0.01",
        "seed 99 at learning rate 0.01",
    ]
    assert len(names) == 4  # no seed was sent: the rates are not known


def test_a_part_whose_record_is_in_the_store_is_not_sent(tmp_path: Path) -> None:
    assert sent(tmp_path, {})[1][:2] == [f"seed {s} at learning rate 0.02" for s in (98, 99)]
    blobs = Blobs(FolderShelf(tmp_path / "store"))
    known = waves(UNIT, Cut(runs=1))[0][0].steps[0]
    blobs.put_record(known.digest(), {"stage": STAGE, "files": {}, "timings": {}})
    found, names = sent(tmp_path, {})
    assert found is None and len(names) == 5 and "seed 98 at learning rate 0.02" not in names


SCORES = {
    "disagreement": "python -m stages.score --signal disagreement",
    "task_disagreement": "python -m stages.score_task --task trec --signal task_disagreement",
}


def write_score(**score: Any) -> None:
    params = YAML(typ="safe").load(Path("params.yaml"))
    Path("params.yaml").write_text(json.dumps({**params, "score": score}))


def scoring(command: str) -> Unit:
    return replace(UNIT, name="score@x", steps=(replace(CELL, stage="score@x", command=command),))


@pytest.mark.parametrize("command", SCORES.values(), ids=SCORES)
def test_a_scoring_by_exact_draws_has_as_many_shares_as_asked_for(command: str) -> None:
    write_score()
    (wave,) = waves(scoring(command), Cut(shares=3))
    assert [(part.name, part.steps[0].command) for part in wave] == [
        (f"score@x: share {n}/3", f"{command} --share {n}/3") for n in (1, 2, 3)
    ]
    assert {part.steps[0].outs for part in wave} == {()}
    for other in (Cut(), Cut(shares=1), Cut(runs=1)):
        assert waves(scoring(command), other) == [] == why_not_cut(scoring(command), other)


@pytest.mark.parametrize("signal", ["linearized", "stable_rank", "disagreement2"])
def test_other_signals_have_no_shares(signal: str) -> None:
    unit = scoring(f"python -m stages.score --signal {signal}")
    assert waves(unit, Cut(shares=3)) == [] == why_not_cut(unit, Cut(shares=3))


@pytest.mark.parametrize(
    ("score", "where"),
    [
        ({"stop": {"plan_budget": 2.0}}, "score.stop.plan_budget: 2.0"),
        ({"estimator": "as_published"}, "score.estimator: as_published"),
    ],
)
def test_why_a_scoring_is_not_cut_is_said(score: dict[str, Any], where: str) -> None:
    write_score(**score)
    unit = scoring(SCORES["disagreement"])
    assert waves(unit, Cut(shares=3)) == []
    (line,) = why_not_cut(unit, Cut(shares=3))
    assert line.startswith(f"score@x: not cut: {where}")
    assert why_not_cut(UNIT, Cut(shares=3)) == []
