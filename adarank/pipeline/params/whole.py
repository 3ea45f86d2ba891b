"""All sections of params.yaml together, and what they must agree on."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from adarank.allocation.growth import Growth
from adarank.allocation.strategies.registry import find_strategy
from adarank.errors import InputError, Problem
from adarank.pipeline.params.allocate import AllocateSection
from adarank.pipeline.params.evaluate import EvaluateSection
from adarank.pipeline.params.finetune import (
    FinetuneSection,
    optimizer_problem,
    tuning_seed_problems,
)
from adarank.pipeline.params.loader import Slice, parse, read_yaml
from adarank.pipeline.params.merge import MergeSection
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.probe import ProbeSection
from adarank.pipeline.params.report import Report
from adarank.pipeline.params.score import ScoreSection
from adarank.pipeline.params.signal import MEASURED, SIGNALS, TASK_SIGNALS, SignalSection
from adarank.pipeline.params.strategies import StrategiesSection
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.params.tasks import TasksSection, evaluate_of, finetune_of

_MOVED = {
    "dataset": "each data set is a task: move its keys to tasks.NAME, with `type` for `task`",
    "task": "its keys belong to one task now: move them to tasks.NAME",
}
"""Sections of version 0.1, and what became of them."""


class WholeParams(Slice):
    """Every section, as params.yaml has them."""

    model: ModelSection
    tasks: TasksSection = Field(description="every task by its name")
    study: StudySection
    probe: ProbeSection
    score: ScoreSection
    signal: SignalSection
    allocate: AllocateSection
    strategies: StrategiesSection = Field(
        description="user-defined strategies by name: {custom: {layer_ranks: [...]}}, a rank a "
        "block; {explicit: ...}, lists by kind; {combined: {NAME: WEIGHT ...}}, a mean of shares"
    )
    finetune: FinetuneSection
    evaluate: EvaluateSection
    merge: MergeSection | None = Field(
        default=None, description="what study.merge merges, and how; needed where that names any"
    )
    report: Report


class StudyParts(Slice):
    """What the study names, and where it is defined."""

    study: StudySection
    tasks: dict[str, Any]
    strategies: StrategiesSection


def check_params(path: Path) -> list[Problem]:
    """List every problem of a params file, each once.

    Raises:
        InputError: The file cannot be read, or is no mapping.
    """
    values = read_yaml(path)
    problems = _unknown_sections(values, path)
    try:
        whole = parse(WholeParams, values, path)
        problems += _tuning_seeds(whole, path) + _growth_beyond_runs(whole, path)
        problems += _optimizers(whole, path) + _merges(whole, path)
    except InputError as error:
        problems += error.problems
    # Whatever else is wrong, the study may name what is not there.
    try:
        problems += _disagreements(parse(StudyParts, values, path), path)
    except InputError as error:
        problems += error.problems
    return list({str(problem): problem for problem in problems}.values())


def resolved(whole: WholeParams) -> dict[str, Any]:
    """Return all values a study uses: defaults filled in, every task with its own."""
    values = whole.model_dump(mode="json")
    # A definition says one of several things: what it leaves out is no default.
    values["strategies"] = whole.strategies.model_dump(mode="json", exclude_unset=True)
    for name, task in whole.tasks.root.items():
        own = {
            "finetune": finetune_of(whole.finetune, task),
            "evaluate": evaluate_of(whole.evaluate, task),
        }
        values["tasks"][name] |= {key: _differing(section, task) for key, section in own.items()}
    return values


def _differing(section: BaseModel, task: BaseModel) -> dict[str, Any]:
    kind = "finetune" if isinstance(section, FinetuneSection) else "evaluate"
    given = getattr(task, kind).model_fields_set
    return {key: value for key, value in section.model_dump(mode="json").items() if key in given}


def _unknown_sections(values: dict[str, Any], path: Path) -> list[Problem]:
    known = list(WholeParams.model_fields)
    return [
        Problem(
            "no such section" if name not in _MOVED else "a section of version 0.1",
            f"{path}: {name}",
            got=name if isinstance(name, str) else f"{name!r}",
            expected=f"one of: {', '.join(known)}",
            remedy=_MOVED.get(name, "remove it, or correct its name"),
        )
        for name in values
        if name not in known
    ]


def _disagreements(whole: StudyParts, path: Path) -> list[Problem]:
    """List where the study names what is not there, or lacks what it needs."""
    study = whole.study
    problems = [
        Problem(
            "the study names a task that is not defined",
            f"{path}: study.tasks",
            name,
            f"one of: {', '.join(whole.tasks)}",
            f"define tasks.{name}, or take it out of study.tasks",
        )
        for name in study.tasks
        if name not in whole.tasks
    ]
    problems += _misplaced("signals", study.signals, SIGNALS, path)
    problems += _misplaced("task_signals", study.task_signals, TASK_SIGNALS, path)
    if study.reference not in study.strategies:
        listed = f"one of study.strategies: {', '.join(study.strategies)}"
        what = "the reference is no strategy of the study"
        remedy = "name one of these, or add it to study.strategies"
        problems.append(Problem(what, f"{path}: study.reference", study.reference, listed, remedy))
    try:
        defined = whole.strategies.strategies()
    except InputError as error:
        return problems + list(error.problems)
    needed: dict[str, tuple[str, ...]] = {}
    for name in study.strategies:
        try:
            needed[name] = find_strategy(name, defined).signals
        except InputError as error:
            problems += error.problems
    return problems + _unscored(study, needed, path)


def _merges(whole: WholeParams, path: Path) -> list[Problem]:
    """List what is wrong with the study's merges; those it has are none of a light stage's."""
    study = whole.study
    if "merge" not in study.model_fields_set:
        what, where = "key missing, which dvc.yaml reads", f"{path}: study.merge"
        return [Problem(what, where, "no such key", "a list", "add merge: [] to study")]
    if not study.merge:
        return []
    if whole.merge is None:
        what, got = "merges without members", "no section merge"
        expected = "merge: {strategy: NAME, budget: B}, a cell of the study"
        return [Problem(what, f"{path}: merge", got, expected, "add it, or set study.merge: []")]
    # Here, for it takes torch, and most studies merge nothing.
    from adarank.pipeline.merging.runs import merge_problems

    types = {name: task.type for name, task in whole.tasks.root.items()}
    found = merge_problems(study, whole.merge, types)
    return [replace(problem, where=f"{path}: {problem.where}") for problem in found]


def _misplaced(key: str, asked: list[str], offered: tuple[str, ...], path: Path) -> list[Problem]:
    return [
        Problem(
            "no such signal here",
            f"{path}: study.{key}",
            name,
            f"any of: {', '.join(offered)}",
            "correct the name, or move it to the other of study.signals and study.task_signals",
        )
        for name in asked
        if name not in offered
    ]


def _tuning_seeds(whole: WholeParams, path: Path) -> list[Problem]:
    """Refuse a tuning seed that is also compared, of every task that tunes its rate."""
    seeds = whole.study.seeds
    return [
        problem
        for name, section in _sections(whole).items()
        for problem in tuning_seed_problems(section, seeds, f"{path}: task {name}: ")
    ]


def _optimizers(whole: WholeParams, path: Path) -> list[Problem]:
    """Refuse optimizers that a strategy of the study cannot use."""
    defined, problems = whole.strategies.strategies(), list[Problem | None]()
    for name in whole.study.strategies:
        with suppress(InputError):
            tuner = find_strategy(name, defined).tuner
            for task, section in _sections(whole).items():
                problems.append(optimizer_problem(section, name, tuner, f"{path}: task {task}: "))
    return [problem for problem in problems if problem is not None]


def _growth_beyond_runs(whole: WholeParams, path: Path) -> list[Problem]:
    """Refuse ranks that are to change when a task's run is over; modules are not known yet."""
    study = whole.study
    problems: list[Problem] = []
    for strategy, growth in _growths(whole).items():
        for task, section in _sections(whole).items():
            try:
                for budget in study.budgets:
                    growth.settle(budget, section.steps, {})
            except InputError as error:
                where = f"{path}: strategy {strategy}, task {task}: "
                problems += [replace(one, where=where + one.where) for one in error.problems]
    return problems


def _growths(whole: WholeParams) -> dict[str, Growth]:
    """How ranks change, by strategy of the study; unknown ones are another problem's."""
    defined, found = whole.strategies.strategies(), dict[str, Growth]()
    for name in whole.study.strategies:
        with suppress(InputError):
            if growth := find_strategy(name, defined).growth:
                found[name] = growth
    return found


def _sections(whole: WholeParams) -> dict[str, FinetuneSection]:
    """The finetune section of every task of the study that is defined."""
    return {
        name: finetune_of(whole.finetune, whole.tasks.root[name])
        for name in whole.study.tasks
        if name in whole.tasks.root
    }


def _unscored(study: StudySection, needed: dict[str, tuple[str, ...]], path: Path) -> list[Problem]:
    scored = [*study.signals, *study.task_signals]
    problems = [
        Problem(
            "a strategy's signal is not scored",
            f"{path}: study.strategies: {strategy}",
            f"scored: {', '.join(scored) or 'none'}",
            signal,
            f"add {signal} to study.{'signals' if signal in SIGNALS else 'task_signals'}",
        )
        for strategy, signals in needed.items()
        for signal in signals
        if signal not in scored and signal != MEASURED
    ]
    if not scored:
        what = "no signal at all, and a score table is what names the modules"
        remedy = "study.signals: stable_rank is the quickest"
        where, expected = f"{path}: study.signals", "at least one signal"
        problems.append(Problem(what, where, "none, nor in study.task_signals", expected, remedy))
    return problems
