"""A study's merges by their names: the method, its parameters, and the lambdas that are tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from adarank.errors import AdaRankError, InputError, Problem, input_error
from adarank.merging.parameters import Value
from adarank.merging.registry import METHODS, Method, complete, method_named
from adarank.pipeline.params.merge import MergeSection
from adarank.pipeline.params.study import StudySection


@dataclass(frozen=True)
class MergeRun:
    """One entry of study.merge.

    Attributes:
        name: As in study.merge.
        method: The method.
        values: All its parameters; the tuned one is the first of the grid.
        grid: Values of the method's tuned parameter to choose from on validation; empty where it
            has none. One value is taken as it is.
    """

    name: str
    method: Method
    values: Mapping[str, Value]
    grid: tuple[float, ...]

    def split(self, section: MergeSection) -> Literal["train", "validation", "test"] | None:
        """The split that is read beside the members; None for none."""
        if self.method.learned:
            return "test" if section.transductive else "train"
        return "validation" if len(self.grid) > 1 else None


def merge_run(section: MergeSection, name: str) -> MergeRun:
    """Find what a name in study.merge stands for.

    Raises:
        InputError: No such method, or parameters that it does not have or cannot take; all that
            is wrong with them at once.
    """
    definition = section.methods.get(name)
    given: dict[str, Any] = definition.parameters if definition else {}
    method_name = str(definition.root.get("method", name)) if definition else name
    if method_name not in METHODS:
        raise input_error(
            "no such merging method",
            where=f"merge.methods.{name}.method" if definition else "study.merge",
            got=method_name,
            expected=f"one of: {', '.join(METHODS)}; or a name that merge.methods defines",
            remedy="correct the name, or define it in merge.methods",
        )
    method = method_named(method_name)
    grid: tuple[float, ...] = ()
    if method.tuned:
        tried = given.get(method.tuned, section.scaling)
        grid = tuple(tried) if isinstance(tried, list) else (tried,)
        given = given | {method.tuned: grid[0] if grid else None}
    if method.learned:
        given = {"rate": section.rate} | given
    where = f"merge.methods.{name}" if definition else "merge"
    try:
        values = complete(method, given)
    except InputError as error:
        raise InputError(*(_placed(problem, where) for problem in error.problems)) from None
    bad = [method.parameters[method.tuned or ""].problem(method.tuned or "", x) for x in grid]
    if problems := [_placed(problem, where) for problem in bad if problem]:
        raise InputError(*problems)
    return MergeRun(name, method, values, grid)


def merge_problems(
    study: StudySection, section: MergeSection, types: Mapping[str, str]
) -> list[Problem]:
    """List what the study's merges and their section ask for and cannot have.

    Args:
        study: What is merged must be a cell of it.
        section: How it is merged.
        types: Each task's type.
    """
    tasks = section.tasks or study.tasks
    problems = [
        *_absent("strategy", [section.strategy], "strategies", study.strategies),
        *_absent("budget", [section.budget], "budgets", study.budgets),
        *_absent("tasks", tasks, "tasks", study.tasks),
        *_absent("seeds", section.seeds or [], "seeds", study.seeds),
    ]
    if len(tasks) < 2:
        what, remedy = "there is nothing to merge", "name another task, or set study.merge: []"
        problems.append(Problem(what, "merge.tasks", ", ".join(tasks), "at least two", remedy))
    own = len(tasks) * section.budget
    if section.rank is not None and section.rank > own:
        what, expected = "a rank above the sum of the members' ranks", f"at most {own:g}"
        problems.append(Problem(what, "merge.rank", section.rank, expected, "null keeps them all"))
    for name in study.merge:
        try:
            run = merge_run(section, name)
        except AdaRankError as error:
            problems += error.problems
            continue
        if run.method.learned:
            problems += _without_classes(run, tasks, types)
    return problems


def _absent(
    key: str, asked: Sequence[object], where: str, there: Sequence[object]
) -> list[Problem]:
    return [
        Problem(
            "the study has no such members to merge",
            f"merge.{key}",
            one,
            f"one of study.{where}: {', '.join(map(str, there))}",
            f"name one of these, or add it to study.{where}",
        )
        for one in asked
        if str(one) not in map(str, there)
    ]


def _without_classes(
    run: MergeRun, tasks: Sequence[str], types: Mapping[str, str]
) -> list[Problem]:
    """Tasks whose head gives no classes, so that a learned method has no entropy to lower."""
    return [
        Problem(
            f"{run.method.name} needs a head with classes",
            f"study.merge: {run.name}",
            f"{task} of type {types[task]}",
            "tasks of type classification",
            f"take {task} out of merge.tasks, or {run.name} out of study.merge",
        )
        for task in tasks
        if types.get(task, "classification") != "classification"
    ]


def _placed(problem: Problem, where: str) -> Problem:
    return Problem(
        problem.what,
        f"{where}.{problem.where}",
        problem.got,
        problem.expected,
        problem.remedy or "correct it, or leave it out for the default",
    )
