"""Single-label text classification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import metrics as sk
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.models.form import FLOAT32, BaseForm
from adarank.tasks.base import Batch, Better, Encoded, Example, Headed
from adarank.tasks.heads import check_positions, load_headed
from adarank.tasks.hidden import with_hidden
from adarank.tasks.measures import accuracy
from adarank.tasks.options import Options
from adarank.tasks.texts import encode_texts, pad_texts


@dataclass(frozen=True)
class Classification:
    """Texts to one of two or more labels; predictions carry `p_0`, `p_1` ... per class.

    Attributes:
        labels: The labels' names, in the order of their ids.
        tokenizer: The model's tokenizer, with a padding token.
        max_length: Longest text or pair, in tokens, special ones included; longer ones are cut.
        hidden: Width of a GELU layer before the last one; None for none.
    """

    labels: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    hidden: int | None = None

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        options: Options,
    ) -> "Classification":
        """Make the task that a dataset's description asks for.

        Raises:
            InputError: Fewer than two labels.
        """
        labels = tuple(description.get("labels") or ())
        if len(labels) < 2:
            raise input_error(
                "too few labels to classify",
                where="task.json: labels",
                got=list(labels),
                expected="at least 2",
                remedy="check dataset.target_key and dataset.num_classes",
            )
        return cls(labels, tokenizer, max_length, options.hidden)

    @property
    def peft_type(self) -> str:
        """PEFT's name of the task."""
        return "SEQ_CLS"

    @property
    def better(self) -> Mapping[str, Better]:
        """The metrics and which way each improves."""
        return {
            "loss": "lower",
            "accuracy": "higher",
            "macro_f1": "higher",
            "matthews": "higher",
            "auc": "higher",
        }

    @property
    def headline(self) -> str:
        """The share of rows whose label was predicted."""
        return "accuracy"

    def build(self, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
        """Load the model with a head of one output per label; see heads.load_headed."""
        names = dict(enumerate(self.labels))
        headed = load_headed(
            AutoModelForSequenceClassification,
            folder,
            seed,
            form,
            num_labels=len(self.labels),
            id2label=names,
            label2id={name: index for index, name in names.items()},
            problem_type="single_label_classification",
            pad_token_id=self.tokenizer.pad_token_id,
        )
        check_positions(headed.model, self.max_length)
        if self.hidden is None:
            return headed
        return with_hidden(headed, outputs=len(self.labels), hidden=self.hidden, seed=seed)

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Tokenize the columns `text` and, if there, `pair`; `labels` is the column `label`."""
        return encode_texts(self.tokenizer, rows, self.max_length, rows["label"].tolist())

    def for_training(self, examples: Sequence[Example]) -> list[Example]:
        """Return all rows, unchanged."""
        return list(examples)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad to the longest example of the batch."""
        return pad_texts(self.tokenizer, examples)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean cross-entropy of the batch's labels, in nats."""
        return nn.functional.cross_entropy(_logits(model, batch).float(), batch["labels"])

    def outputs(self, model: nn.Module, batch: Batch) -> pd.DataFrame:
        """Predict one batch: columns label, predicted, loss (nats) and p_0 ... p_(n-1)."""
        labels = batch["labels"]
        # In double precision a confident miss keeps its loss instead of becoming infinite.
        logs = _logits(model, batch).double().log_softmax(-1)
        loss = -logs.gather(1, labels[:, None])[:, 0]
        columns = {"label": labels, "predicted": logs.argmax(-1), "loss": loss}
        table = pd.DataFrame({name: tensor.cpu().numpy() for name, tensor in columns.items()})
        names = [f"p_{index}" for index in range(len(self.labels))]
        shares = pd.DataFrame(logs.exp().to(torch.float32).cpu().numpy(), columns=names)
        return pd.concat([table, shares], axis=1)

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float | None]:
        """Compute loss, accuracy, macro-F1, Matthews' coefficient and AUC.

        Macro-F1 averages over the labels that occur, true or predicted. AUC is one-vs-rest,
        averaged over the labels alike; None where a label has no row, which leaves it undefined.
        """
        label = predictions["label"].to_numpy()
        predicted = predictions["predicted"].to_numpy()
        return {
            "loss": float(predictions["loss"].to_numpy().mean()),
            "accuracy": accuracy(predictions),
            "macro_f1": float(_macro_f1(label, predicted)),
            "matthews": float(sk.matthews_corrcoef(label, predicted)),
            "auc": self._auc(predictions),
        }

    def confusion(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Name each row's true and predicted label."""
        names = np.array(self.labels, dtype=object)
        columns = {"actual": "label", "predicted": "predicted"}
        return pd.DataFrame({c: names[predictions[f].to_numpy()] for c, f in columns.items()})

    def _auc(self, predictions: pd.DataFrame) -> float | None:
        label = predictions["label"].to_numpy()
        if len(set(label)) < len(self.labels):
            return None
        each = [
            sk.roc_auc_score(label == index, predictions[f"p_{index}"])
            for index in range(len(self.labels))
        ]
        return float(sum(each) / len(each))


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    return model(**inputs).logits


def _macro_f1(label: "np.ndarray[Any, Any]", predicted: "np.ndarray[Any, Any]") -> Any:
    # The library declares zero_division a string, and documents 0.
    zero: Any = 0
    return sk.f1_score(label, predicted, average="macro", zero_division=zero)
