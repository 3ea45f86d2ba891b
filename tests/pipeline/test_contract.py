"""dvc.yaml says of every stage exactly what its code imports, reads and writes."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.stage import PipelineStage

from adarank.pipeline.params.loader import Slice
from adarank.pipeline.scratch.closure import closure
from tests.pipeline.closure import ROOT, covered, rooms, with_code_deps
from tests.pipeline.conftest import Run
from tests.pipeline.project import make_project
from tests.schemas import key_paths

FREE = ("params.yaml", "timings/", "locks/")
PROBE = "adarank/pipeline/builtin/sentences.txt"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PipelineStage]]:
    # Not the project itself, whose study need not have every kind of stage.
    folder = tmp_path_factory.mktemp("contract")
    project = make_project(folder / "project", folder)
    project.change(study__merge=["average"], merge={"strategy": "uniform", "budget": 2})
    with Repo(str(project.path)) as repo:
        yield _by_name(repo)


def test_every_stage_is_there(stages: dict[str, PipelineStage]) -> None:
    kinds = ["download", "download_task", "score", "score_task", "allocate", "finetune", "evaluate"]
    kinds += ["merge", "evaluate_merged", "summarize", "report", "best"]
    assert list(dict.fromkeys(name.split("@")[0] for name in stages)) == kinds


def test_code_deps_cover_the_import_closure_and_no_other_room(
    stages: dict[str, PipelineStage],
) -> None:
    wrong: list[str] = []
    for name, stage in stages.items():
        module = _module(stage)
        declared = {dep for dep in _deps(stage) if dep.startswith(("adarank", "stages"))}
        needed = [path for path in closure(module) if (ROOT / path).name != "__init__.py"]
        wrong += [f"{name} lacks {path}" for path in needed if not covered(path, declared)]
        unneeded = declared - {*rooms(module), PROBE}
        wrong += [f"{name} needs no {dep}" for dep in sorted(unneeded)]
    assert not wrong, "\n".join([*wrong, "python -m tests.pipeline.closure writes the deps"])


def test_rewriting_the_deps_changes_nothing_where_they_are_right() -> None:
    pipeline = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert with_code_deps(pipeline) == pipeline
    lacking = pipeline.replace("      - adarank/errors.py\n", "").replace(
        "adarank/pipeline/console\n", "adarank/x\n"
    )
    assert with_code_deps(lacking) == pipeline


def test_artifact_deps_are_some_stages_outs(stages: dict[str, PipelineStage]) -> None:
    outs = {path for stage in stages.values() for path in _outs(stage)}
    unmade = [
        f"{name}: {dep}"
        for name, stage in stages.items()
        for dep in _deps(stage)
        if dep.startswith(("data/", "metrics/")) and not _made(dep, outs)
    ]
    assert unmade == []


def test_params_are_what_the_schema_reads(stages: dict[str, PipelineStage]) -> None:
    declared = {name: _params(stage) for name, stage in stages.items()}
    read = {name: sorted(_read(stage)) for name, stage in stages.items()}
    assert declared == read


def test_every_stage_has_a_description_and_leaves_the_launcher_free(
    stages: dict[str, PipelineStage],
) -> None:
    for name, stage in stages.items():
        assert stage.desc, name
        assert stage.cmd.startswith("$RUN python -m stages."), name
        assert "${" not in stage.cmd + stage.desc, name


def test_the_runcache_knows_every_stage(stages: dict[str, PipelineStage]) -> None:
    for name, stage in stages.items():
        assert not stage.always_changed, name
        for out in stage.outs:
            assert not out.persist, f"{name}: {out}"
            assert out.use_cache or out.metric or out.plot, f"{name}: {out}"


@pytest.mark.pipeline
def test_a_stage_opens_only_its_deps_and_writes_only_its_outs(first: Run) -> None:
    wrong: list[str] = []
    with Repo(str(first.project.path)) as repo:
        for name, stage in _by_name(repo).items():
            deps, outs = _deps(stage), _outs(stage)
            for mode, path in _opened(first.notes, stage.cmd.removeprefix("$RUN ")):
                allowed = [*outs, *FREE, *(deps if mode == "r" else [])]
                # Files that hold a docstring alone decide nothing.
                bare = path.endswith("__init__.py") and path not in deps
                if not bare and not any(_below(path, place) for place in allowed):
                    wrong.append(f"{name} {mode} {path}")
    assert wrong == []


@pytest.mark.pipeline
def test_what_appears_is_exactly_what_is_declared(first: Run) -> None:
    root = first.project.path
    with Repo(str(root)) as repo:
        outs = [out for stage in _by_name(repo).values() for out in _outs(stage)]
    assert [out for out in outs if not (root / out).exists()] == []
    folders = [root / "data", root / "metrics"]
    files = [p.relative_to(root).as_posix() for f in folders for p in f.rglob("*") if p.is_file()]
    assert [file for file in files if not any(_below(file, out) for out in outs)] == []


def _by_name(repo: Repo) -> dict[str, PipelineStage]:
    return {stage.name: stage for stage in repo.index.stages}


def _module(stage: PipelineStage) -> str:
    (found,) = re.findall(r"-m (stages\.\w+)", stage.cmd)
    return found


def _read(stage: PipelineStage) -> list[str]:
    """What the stage's schema reads; of the tasks, a stage of one task reads that one."""
    schema: type[Slice] = importlib.import_module(_module(stage)).Params
    task = re.search(r"--task (\w+)", stage.cmd)
    own = f"tasks.{task[1]}" if task else "tasks"
    return [own if key == "tasks" else key for key in key_paths(schema)]


def _deps(stage: PipelineStage) -> list[str]:
    return [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]


def _outs(stage: PipelineStage) -> list[str]:
    return [out.def_path for out in stage.outs]


def _params(stage: PipelineStage) -> list[str]:
    found = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return sorted(key for dep in found for key in dep.params)


def _made(dep: str, outs: set[str]) -> bool:
    return any(_below(dep, out) or _below(out, dep) for out in outs)


def _below(path: str, place: str) -> bool:
    """Whether a path is a place, lies below it, or is the temporary it takes its name from."""
    folder, _, name = place.rstrip("/").rpartition("/")
    temporary = f"{folder}/.{name}." if folder else f".{name}."
    return path == place or path.startswith((place.rstrip("/") + "/", temporary))


def _opened(notes: Path, command: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for file in notes.iterdir():
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        if head == command:
            found += [(line[0], line[2:]) for line in lines]
    assert found, f"no notes of {command}"
    return list(dict.fromkeys(found))
