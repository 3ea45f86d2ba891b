"""One task of the study: its cells compared, with what weakens the comparisons."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adarank.allocation.strategies.controls import form, has_ranks_of, meaning, original
from adarank.comparison.baseline import BaselineCheck, check_baseline
from adarank.comparison.caveats import Circumstances, caveats, costs
from adarank.comparison.cells import Comparison, comparisons
from adarank.comparison.pairs import Control, pairs
from adarank.comparison.study import study_verdict
from adarank.errors import input_error
from adarank.pipeline.artifacts.baseline import read_baseline
from adarank.pipeline.artifacts.measured import CELLS
from adarank.pipeline.artifacts.places import TASK_SOURCES
from adarank.pipeline.artifacts.predictions import PREDICTIONS, Rows, row_intervals
from adarank.pipeline.artifacts.task import read_description
from adarank.pipeline.datasets.dividing.overlap import shared_in_words
from adarank.pipeline.datasets.rows.noise import noise_in_words
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.params.study import StudySection
from adarank.tasks.cut import cut_caveats

Cell = dict[str, Any]


@dataclass(frozen=True)
class TaskComparisons:
    """One task's cells and comparisons, the cells named by their plans in all sentences."""

    name: str
    cells: list[Cell]
    headline: str
    better: str
    rows: Rows
    comparisons: list[Comparison]
    controls: dict[str, Control]

    def summary(self, study: StudySection, found: Sequence[Comparison]) -> dict[str, Any]:
        """Lay out the task's part of the summary; `found` are its comparisons, corrected."""
        constant = read_baseline(self.name, "test")
        baseline = constant and check_baseline(
            self.cells, constant, metric=self.headline, better=self.better
        )
        source: str = read_json(TASK_SOURCES / f"{self.name}.json")["source"]
        description = read_description(self.name)
        known = Circumstances(
            controls=self.controls,
            same_ranks=frozenset(
                s for s in study.strategies if has_ranks_of(s, study.reference, "uniform")
            ),
            label_noise=noise_in_words(description),
            project_data=source.startswith("builtin:"),
            cut_rows=cut_caveats(self.cells),
            shared_texts=shared_in_words(
                description.get("shared_texts", {}), description.get("rows", {})
            ),
        )
        weak = caveats(self.cells, study.seeds, reference=study.reference, circumstances=known)
        return {
            "type": description["type"],
            "headline": self.headline,
            "better": self.better,
            "baseline": _baseline(baseline),
            "verdict": study_verdict(found, study.seeds, study.reference, baseline),
            "caveats": [asdict(caveat) for caveat in [*weak, *self.rows.caveats]],
            "costs": costs(self.cells, reference=study.reference),
        }


def compare_task(task: str, cells: Sequence[Cell], study: StudySection) -> TaskComparisons:
    """Compare one task's cells; nothing is corrected yet."""
    headline, better = _headline(cells)
    reference, controls = study.reference, controls_of(study)
    named = [cell | {"cell": cell["cell"].removeprefix(f"{task}/")} for cell in cells]
    compared = pairs(named, reference=reference, controls=controls)
    rows = row_intervals(named, compared, headline, PREDICTIONS / task)
    found = comparisons(
        compared,
        metric=headline,
        better=better,
        seeds=study.seeds,
        rows=rows.intervals,
        task=task,
        margin=study.margin,
    )
    return TaskComparisons(task, named, headline, better, rows, found, controls)


def controls_of(study: StudySection) -> dict[str, Control]:
    """Return the study's control strategies, each with the strategy that it is a control of."""
    of = {name: original(name) for name in study.strategies}
    return {name: Control(o, form(name), meaning(name)) for name, o in of.items() if o is not None}


def _baseline(check: BaselineCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "answer": check.answer,
        "value": check.value,
        "not_beaten_by": check.not_beaten_by,
    }


def _headline(cells: Sequence[Cell]) -> tuple[str, str]:
    by_headline = {(cell["headline"], cell["better"]): cell["cell"] for cell in cells}
    if len(by_headline) > 1:
        headlines = ", ".join(f"{name} by {metric}" for (metric, _), name in by_headline.items())
        raise input_error(
            "the cells are of different tasks",
            where=str(CELLS),
            got=headlines,
            expected="one headline metric for all",
            remedy="`dvc repro` evaluates the stale ones again",
        )
    return next(iter(by_headline))
