"""What schemas of params.yaml read, and the cells a study stands for."""

from adarank.pipeline.params.loader import Slice
from adarank.pipeline.params.study import StudySection, cell_name


def key_paths(schema: type[Slice]) -> list[str]:
    """List what a schema reads, as DVC names it: `score` or `study.seeds`."""
    paths: list[str] = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Slice):
            paths += [f"{name}.{key}" for key in inner.model_fields]
        else:
            paths.append(name)
    return paths


def cell_names(study: StudySection) -> list[str]:
    """Name all cells of a study, by task, budget and strategy."""
    return [
        cell_name(task, strategy, budget)
        for task in study.tasks
        for budget in study.budgets
        for strategy in study.strategies
    ]
