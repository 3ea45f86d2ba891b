"""Several rows in one sequence, and none of them seeing another."""

from collections.abc import Sequence

import torch
from torch import nn

from adarank.errors import input_error
from adarank.tasks.base import Example


def pack(examples: Sequence[Example], max_length: int) -> list[Example]:
    """Fill sequences with whole rows, in their order: a row that no longer fits starts a new one.

    Each row keeps its own positions, from 0 on. Given these without an attention mask,
    transformers lets a token attend to its own row alone, so that a row in a pack is to the model
    what it is by itself; `check_packing` proves it of a model.

    Args:
        examples: Rows with `input_ids` and `labels` of at most `max_length` tokens; the first
            token's label is uncounted, as no token before it predicts it.
        max_length: Tokens of a sequence at most.

    Returns:
        Examples with `input_ids`, `labels` and `position_ids`.
    """
    packs: list[list[Example]] = []
    room = 0
    for example in examples:
        tokens = len(example["input_ids"])
        if tokens > room:
            packs.append([])
            room = max_length
        packs[-1].append(example)
        room -= tokens
    return [_joined(rows) for rows in packs]


@torch.no_grad()
def check_packing(model: nn.Module) -> None:
    """Try on a model whether rows in a pack are kept apart.

    Raises:
        InputError: A row's logits change with the rows packed beside it.
    """
    vocabulary: int = model.config.vocab_size  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
    rows = [torch.arange(4) % vocabulary, torch.arange(9, 3, -1) % vocabulary]
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    training = model.training
    model.eval()
    packed = model(
        input_ids=torch.cat(rows)[None], position_ids=positions[None], use_cache=False
    ).logits[0]
    alone = torch.cat([model(input_ids=row[None], use_cache=False).logits[0] for row in rows])
    model.train(training)
    difference, size = float((packed - alone).abs().max()), float(alone.abs().max())
    # Rounding alone makes about a millionth.
    if difference > 1e-4 * size:
        raise input_error(
            "this model cannot keep rows apart that share a sequence",
            where=f"task.packing, {type(model).__name__}",
            got=f"logits that differ by {difference:.3g} of {size:.3g} from those of a row alone",
            expected="the same",
            remedy="task.packing: false",
        )


def _positions(row: Example) -> Sequence[int]:
    # Of a pack that is packed again, every row still begins at 0.
    return row.get("position_ids", range(len(row["input_ids"])))


def _joined(rows: list[Example]) -> Example:
    return {
        "input_ids": [token for row in rows for token in row["input_ids"]],
        "labels": [label for row in rows for label in row["labels"]],
        "position_ids": [place for row in rows for place in _positions(row)],
    }
