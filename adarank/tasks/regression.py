"""One number for a text or a pair of texts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.models.form import FLOAT32, BaseForm
from adarank.tasks.base import Batch, Better, Encoded, Example, Headed
from adarank.tasks.heads import check_positions, load_headed
from adarank.tasks.hidden import with_hidden
from adarank.tasks.measures import pearson
from adarank.tasks.options import Options
from adarank.tasks.texts import encode_texts, pad_texts


@dataclass(frozen=True)
class Regression:
    """Texts to a number y, which the head gives in train's own units: (y - mean) / deviation.

    So one learning rate serves grades from 0 to 5 and prices in the thousands alike. The loss is
    in those units too; everything else is in the targets' own.

    Attributes:
        tokenizer: The model's tokenizer, with a padding token.
        max_length: Longest text or pair, in tokens, special ones included; longer ones are cut.
        mean: Mean of train's targets.
        deviation: Their standard deviation.
        loss_kind: `mse` or `mae`: the error that training lowers, squared or absolute.
        hidden: Width of a GELU layer before the last one; None for none.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    mean: float = 0.0
    deviation: float = 1.0
    loss_kind: Literal["mse", "mae"] = "mse"
    hidden: int | None = None

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        options: Options,
    ) -> "Regression":
        """Make the task that a dataset's description asks for.

        Raises:
            InputError: Train's mean and deviation are not given, or leave nothing to learn.
        """
        mean, deviation = (_number(description, key) for key in ("target_mean", "target_sd"))
        if deviation <= 0:
            raise input_error(
                "every target of train is the same number, so there is nothing to learn",
                where="task.json: target_sd",
                got=deviation,
                expected="a positive number",
                remedy="check dataset.target_key",
            )
        return cls(tokenizer, max_length, mean, deviation, options.loss, options.hidden)

    @property
    def peft_type(self) -> str:
        """PEFT's name of the task."""
        return "SEQ_CLS"

    @property
    def better(self) -> Mapping[str, Better]:
        """The metrics and which way each improves."""
        return {
            "loss": "lower",
            "mae": "lower",
            "rmse": "lower",
            "pearson": "higher",
            "spearman": "higher",
        }

    @property
    def headline(self) -> str:
        """Pearson's correlation, as the benchmarks of this kind report."""
        return "pearson"

    def build(self, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
        """Load the model with a head of one output; see heads.load_headed."""
        headed = load_headed(
            AutoModelForSequenceClassification,
            folder,
            seed,
            form,
            num_labels=1,
            problem_type="regression",
            pad_token_id=self.tokenizer.pad_token_id,
        )
        check_positions(headed.model, self.max_length)
        if self.hidden is None:
            return headed
        return with_hidden(headed, outputs=1, hidden=self.hidden, seed=seed)

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Tokenize the columns `text` and, if there, `pair`; `labels` is the column `target`."""
        targets = [float(target) for target in rows["target"]]
        return encode_texts(self.tokenizer, rows, self.max_length, targets)

    def for_training(self, examples: Sequence[Example]) -> list[Example]:
        """Return all rows, unchanged."""
        return list(examples)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad to the longest example of the batch; targets keep their double precision."""
        inputs = [{k: v for k, v in example.items() if k != "labels"} for example in examples]
        targets = torch.tensor([example["labels"] for example in examples], dtype=torch.float64)
        return pad_texts(self.tokenizer, inputs) | {"labels": targets}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the batch's mean squared or absolute error, in train's units."""
        return self._errors(_answers(model, batch).float(), batch["labels"]).mean()

    def outputs(self, model: nn.Module, batch: Batch) -> pd.DataFrame:
        """Predict one batch: label and predicted in the targets' units, and loss in train's."""
        answers, target = _answers(model, batch).double(), batch["labels"]
        predicted = answers * self.deviation + self.mean
        columns = {"label": target, "predicted": predicted, "loss": self._errors(answers, target)}
        return pd.DataFrame({name: tensor.cpu().numpy() for name, tensor in columns.items()})

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float | None]:
        """Compute loss, mean absolute and root mean squared error, and both correlations.

        A correlation is None where all targets, or all predictions, are the same number.
        """
        label = predictions["label"].to_numpy()
        predicted = predictions["predicted"].to_numpy()
        error = predicted - label
        constant = any(np.ptp(values) == 0 for values in (label, predicted))
        return {
            "loss": float(predictions["loss"].to_numpy().mean()),
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt(np.square(error).mean())),
            "pearson": None if constant else pearson(predictions),
            "spearman": None if constant else _spearman(label, predicted),
        }

    def confusion(self, predictions: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG002
        """Return no row: of two numbers one cannot say that one was taken for the other."""
        return pd.DataFrame({"actual": [], "predicted": []}, dtype=object)

    def _errors(self, answers: Tensor, target: Tensor) -> Tensor:
        error = answers - ((target - self.mean) / self.deviation).to(answers.dtype)
        return error.square() if self.loss_kind == "mse" else error.abs()


def _answers(model: nn.Module, batch: Batch) -> Tensor:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return model(**inputs).logits[:, 0]


def _spearman(label: Any, predicted: Any) -> float:
    found: Any = stats.spearmanr(label, predicted)
    return float(found.statistic)


def _number(description: Mapping[str, Any], key: str) -> float:
    value = description.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise input_error(
            "the targets' mean and standard deviation are not known",
            where=f"task.json: {key}",
            got=value,
            expected="a finite number: that of train's targets",
            remedy="download the dataset again: `dvc repro download@dataset`",
        )
    return float(value)
