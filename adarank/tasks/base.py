"""What a task is: the head, the batches, the predictions and the metrics of one kind of problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
from torch import Tensor, nn
from transformers import PreTrainedModel

from adarank.models.form import FLOAT32, BaseForm

Example = dict[str, Any]
Batch = dict[str, Tensor]
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Headed:
    """A pretrained model with a task's head.

    Attributes:
        model: The model, its head in float32.
        head: Full dotted names in `model` of what is trained whole beside the adapters: the
            modules outside the pretrained base, and what its checkpoint lacked. May be empty.
    """

    model: PreTrainedModel
    head: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """Rows as a model takes them.

    Attributes:
        examples: One mapping a row, in the rows' order, with `input_ids` (a list of ids) and
            whatever else the task's batches are made of.
        truncated: How many rows were longer than the task's limit and were cut.
        uncounted: How many of those lost everything that counts. They are in no loss and no
            metric, and not trained on.
        unanswered: How many rows have no answer left to be measured by: of a prompt and its
            response, none of the response; of a target that is compared whole, not all of it.
    """

    examples: list[Example]
    truncated: int
    uncounted: int = 0
    unanswered: int = 0

    def counts(self) -> dict[str, int]:
        """Count the rows, those that were cut, and what the cut left nothing of."""
        return {
            "rows": len(self.examples),
            "cut": self.truncated,
            "uncounted": self.uncounted,
            "unanswered": self.unanswered,
        }


class Task(Protocol):
    """One kind of problem.

    A predictions table has one row per example, in any order, with at least the columns
    `label`, `predicted` and `loss`; everything measured is computed from such a table.
    """

    @property
    def peft_type(self) -> str:
        """PEFT's name of the task, such as SEQ_CLS."""
        ...

    @property
    def better(self) -> Mapping[str, Better]:
        """Every metric's name, in the order shown, and which way it improves."""
        ...

    @property
    def headline(self) -> str:
        """The metric that cells are compared by."""
        ...

    def build(self, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
        """Load the model in `folder` with this task's head, its new weights drawn by `seed`.

        The base is held in `form`, the head in float32.
        """
        ...

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Turn a dataset's rows into examples."""
        ...

    def for_training(self, examples: Sequence[Example]) -> list[Example]:
        """Return encoded rows in the form for training, which may differ from that for evaluation.

        Rows with nothing to learn from are left out, and several rows may share an example.
        """
        ...

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad examples to the longest of them and stack them."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the loss that training lowers on one batch: a scalar, with its graph."""
        ...

    def outputs(self, model: nn.Module, batch: Batch) -> pd.DataFrame:
        """Predict one batch; gives its part of the predictions table."""
        ...

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float | None]:
        """Compute every metric in `better`; None where the rows leave one undefined."""
        ...

    def confusion(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Set what was true beside what was predicted: columns `actual` and `predicted`.

        Without a row where a task has nothing to set side by side.
        """
        ...


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """Pick the rows of a table of predictions of which something counts.

    A text of which no token is a target (all of it was cut, say) has a row, and no loss.
    """
    return table.loc[table["tokens"] > 0] if "tokens" in table.columns else table
