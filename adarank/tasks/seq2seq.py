"""A text to a written answer: label words, or free text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import metrics as sk
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedTokenizerBase

from adarank.models.form import FLOAT32, BaseForm
from adarank.tasks.base import Batch, Better, Encoded, Example, Headed
from adarank.tasks.heads import check_positions, load_writer
from adarank.tasks.measures import accuracy, exact_match, loss_per_token
from adarank.tasks.options import Options
from adarank.tasks.texts import cut_rows
from adarank.tasks.tokens import (
    UNCOUNTED,
    mean_nats,
    padded,
    presence,
    token_table,
)
from adarank.tasks.words import label_id, label_words, refuse_empty, written

OTHER = "(none of the labels)"
"""What a written answer that is no label is called in the confusion table."""

_FREE = -1


@dataclass(frozen=True)
class Seq2Seq:
    """Texts to answers that the model writes, measured by what it really writes.

    Training lowers the loss of the target's tokens, each given the ones before it; every token
    of a batch weighs the same. Answers are written greedily, and compared whole.

    Attributes:
        tokenizer: The model's tokenizer, with a padding token.
        max_length: Longest text, and longest target, in tokens; longer ones are cut.
        max_new_tokens: Tokens written at most.
        labels: The labels' words in the order of their ids; none where targets are free text.
        words: The same, as the tokenizer writes them.
        positive: The id of the label whose own F1 is measured.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    max_new_tokens: int = 16
    labels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    positive: int = 0

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        options: Options,
    ) -> "Seq2Seq":
        """Make the task that a dataset's description asks for.

        Raises:
            InputError: A label word that cannot be written or distinguished from another, or
                `options.positive` is no label.
        """
        labels = tuple(description.get("labels") or ())
        room = options.max_new_tokens
        words = label_words(labels, tokenizer, room)
        positive = label_id(labels, options.positive)
        return cls(tokenizer, max_length, room, labels, words, positive)

    @property
    def peft_type(self) -> str:
        """PEFT's name of the task."""
        return "SEQ_2_SEQ_LM"

    @property
    def better(self) -> Mapping[str, Better]:
        """The metrics and which way each improves."""
        free: dict[str, Better] = {"loss": "lower", "exact_match": "higher"}
        if not self.labels:
            return free
        return {**free, "accuracy": "higher", "macro_f1": "higher", "f1_positive": "higher"}

    @property
    def headline(self) -> str:
        """The share of answers that are right."""
        return "accuracy" if self.labels else "exact_match"

    def build(self, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
        """Load the model with the head it was pretrained with, to write greedily from now on."""
        headed = load_writer(AutoModelForSeq2SeqLM, folder, seed, form)
        check_positions(headed.model, self.max_length)
        # In place of the checkpoint's own settings: those of a summary forbid a short answer.
        headed.model.generation_config = self._greedy(headed.model.config)
        return headed

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Tokenize the columns `text` and `target`; keep `label`, the target's id or -1.

        Raises:
            InputError: A target of which no token is left.
        """
        room = self.max_length
        texts: Any = self.tokenizer(rows["text"].tolist(), truncation=True, max_length=room)
        targets: Any = self.tokenizer(text_target=rows["target"].tolist(), verbose=False)
        refuse_empty(targets["input_ids"], rows)
        fields = {
            "input_ids": texts["input_ids"],
            "labels": [target[:room] for target in targets["input_ids"]],
            "label": rows["label"].tolist(),
            "cut": [len(target) > room for target in targets["input_ids"]],
        }
        examples = [
            dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)
        ]
        cut = zip(cut_rows(texts), fields["cut"], strict=True)
        # An answer is compared whole: one that has no room is wrong, whatever is written.
        long = (self._length(target) > self.max_new_tokens for target in targets["input_ids"])
        unanswered = sum(any(either) for either in zip(fields["cut"], long, strict=True))
        return Encoded(examples, sum(any(either) for either in cut), unanswered=unanswered)

    def for_training(self, examples: Sequence[Example]) -> list[Example]:
        """Return all rows, unchanged."""
        return list(examples)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad on the right to the longest example of the batch; labels with -100."""
        padding: Any = self.tokenizer.pad_token_id
        return {
            "input_ids": padded(examples, "input_ids", padding),
            "attention_mask": presence(examples),
            "labels": padded(examples, "labels", UNCOUNTED),
            "label": torch.tensor([example["label"] for example in examples]),
            "cut": torch.tensor([example["cut"] for example in examples]),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean loss of the targets' tokens, in nats."""
        return mean_nats(_predicted(model, batch), batch["labels"])

    def outputs(self, model: nn.Module, batch: Batch) -> pd.DataFrame:
        """Write an answer to each text of a batch, and measure the target's own tokens.

        Returns:
            label and predicted: ids, -1 for what is no label's word; loss: nats per token of the
            target; tokens and nats (sum) of it; exact: whether the answer is the target;
            written: the answer. A target that was cut is never met.
        """
        table = token_table(_predicted(model, batch), batch["labels"])
        answers = [written(self.tokenizer, ids) for ids in _answers(model, batch)]
        targets = [self._target(ids) for ids in batch["labels"].tolist()]
        whole = [not cut for cut in batch["cut"].tolist()]
        ids = {word: index for index, word in enumerate(self.words)}
        table = table.assign(
            label=batch["label"].cpu().numpy(),
            predicted=np.array([ids.get(answer, _FREE) for answer in answers], dtype=np.int64),
            exact=[a == t and w for a, t, w in zip(answers, targets, whole, strict=True)],
            written=pd.Series(answers, dtype="str"),
        )
        columns = ["label", "predicted", "loss", "tokens", "nats", "exact", "written"]
        return table.reindex(columns=columns)

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float | None]:
        """Compute loss and exact match and, of labels, accuracy, macro-F1 and the positive's F1.

        Macro-F1 averages over the labels that occur, true or predicted; an answer that is no
        label is a miss, and no label of its own. The positive label's F1 is None where that
        label is neither true nor predicted.
        """
        free: dict[str, float | None] = {
            "loss": loss_per_token(predictions),
            "exact_match": exact_match(predictions),
        }
        if not self.labels:
            return free
        label = predictions["label"].to_numpy()
        predicted = predictions["predicted"].to_numpy()
        found = sorted({*label.tolist(), *predicted.tolist()} - {_FREE})
        return free | {
            "accuracy": accuracy(predictions),
            "macro_f1": _f1(label, predicted, found),
            "f1_positive": _f1(label, predicted, [self.positive])
            if self.positive in found
            else None,
        }

    def confusion(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Name each row's true and written label; without a row where targets are free text."""
        rows = predictions if self.labels else predictions.iloc[:0]
        # The last name is the one at -1.
        names = np.array([*self.labels, OTHER], dtype=object)
        columns = {"actual": "label", "predicted": "predicted"}
        return pd.DataFrame({c: names[rows[f].to_numpy()] for c, f in columns.items()})

    def _greedy(self, config: Any) -> GenerationConfig:
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=config.eos_token_id,
            decoder_start_token_id=config.decoder_start_token_id,
        )

    def _length(self, ids: list[int]) -> int:
        """Count the tokens of a target that must be written, without the one that ends it."""
        return len(ids) - (ids[-1] == self.tokenizer.eos_token_id)

    def _target(self, labels: list[int]) -> str:
        return written(self.tokenizer, [label for label in labels if label != UNCOUNTED])


def _predicted(model: nn.Module, batch: Batch) -> Tensor:
    """Run the model on texts and targets: what each place says of the target's token there."""
    # Given labels, the model itself shows its decoder the targets, each a place later.
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    return model(**inputs, use_cache=False).logits


def _answers(model: nn.Module, batch: Batch) -> list[list[int]]:
    writer: Any = model
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return writer.generate(**inputs).tolist()


def _f1(label: "np.ndarray[Any, Any]", predicted: "np.ndarray[Any, Any]", ids: list[int]) -> float:
    # The library declares zero_division a string, and documents 0.
    zero: Any = 0
    each: Any = sk.f1_score(label, predicted, labels=ids, average="macro", zero_division=zero)
    return float(each)
