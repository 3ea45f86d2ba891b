"""Messages name the keys of a task as its user wrote them."""

import pytest

from adarank.errors import InputError, Problem
from adarank.pipeline.params.tasks import task_named


@pytest.mark.parametrize(
    ("library", "user"),
    [
        ("dataset.target_key", "tasks.trec.target_key"),
        ("task.packing, T5Model", "tasks.trec.packing, T5Model"),
        ("task.max_new_tokens: 4", "tasks.trec.max_new_tokens: 4"),
        ("task.json: labels", "task.json: labels"),
        ("dataset.json", "dataset.json"),
    ],
)
def test_keys_are_named_below_their_task(library: str, user: str) -> None:
    with pytest.raises(InputError) as caught, task_named("trec"):
        raise InputError(Problem("a key", library, "1", "2", library))
    (problem,) = caught.value.problems
    assert (problem.where, problem.remedy) == (user, user)
