"""Predicting rows with a model, whatever the task."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import nn

from adarank.tasks.base import Example, Task
from adarank.tuning.loop.batches import length


def predict(
    model: nn.Module,
    task: Task,
    examples: Sequence[Example],
    *,
    batch_size: int,
    device: torch.device,
    advance: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Predict rows, longest first so that batches carry little padding.

    Args:
        model: The model, on `device`; its training mode is left as found.
        task: What the model is for.
        examples: Encoded rows; at least one.
        batch_size: Rows a forward.
        device: Where the model is.
        advance: Called after each batch.

    Returns:
        The task's predictions table with a column `row` before its own: the example's index,
        ascending.
    """
    order = longest_first(examples)
    training = model.training
    model.eval()
    tables: list[pd.DataFrame] = []
    with torch.no_grad():
        for at in range(0, len(order), batch_size):
            batch = task.collate([examples[index] for index in order[at : at + batch_size]])
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            tables.append(task.outputs(model, moved))
            advance()
    model.train(training)
    return by_row(tables, order)


def longest_first(examples: Sequence[Example]) -> list[int]:
    """Order the examples' indices so that batches of neighbours carry little padding."""
    return sorted(range(len(examples)), key=lambda index: -length(examples[index]))


def by_row(tables: Sequence[pd.DataFrame], order: Sequence[int]) -> pd.DataFrame:
    """Join the batches' predictions, with the examples' indices in a column `row`, ascending."""
    table = pd.concat(list(tables), ignore_index=True)
    table.insert(0, "row", list(order))
    return table.sort_values("row", ignore_index=True)


def batches_of(n_examples: int, batch_size: int) -> int:
    """Count the batches in which `predict` takes so many examples."""
    return -(-n_examples // batch_size)
