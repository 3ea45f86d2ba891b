"""Continuing a prompt, or plain text, token by token."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from adarank.models.form import FLOAT32, BaseForm
from adarank.tasks.base import Batch, Better, Encoded, Example, Headed
from adarank.tasks.continuation import Continuation, require_offsets
from adarank.tasks.heads import check_positions, load_writer
from adarank.tasks.measures import loss_per_token
from adarank.tasks.options import Options
from adarank.tasks.packing import check_packing, pack
from adarank.tasks.tokens import (
    UNCOUNTED,
    mean_nats,
    padded,
    perplexity,
    presence,
    token_table,
    total,
)


@dataclass(frozen=True)
class CausalLM:
    """Prompts and responses, learned token by token.

    Every counted token weighs the same, whatever the row: in training within a batch, and in the
    metrics over all rows. Perplexity is e^loss; bits per byte, loss over bytes of text instead
    of tokens, also compares models of different tokenizers.

    Attributes:
        tokenizer: The model's tokenizer, with a padding token.
        max_length: Longest row, in tokens, special ones included; longer ones are cut.
        loss_on: `all` tokens count, or the `response`'s only.
        packing: Whether training fills sequences of max_length with several rows.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    loss_on: Literal["all", "response"] = "all"
    packing: bool = False

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],  # noqa: ARG003 -- the data tell this task nothing
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        options: Options,
    ) -> "CausalLM":
        """Make the task.

        Raises:
            InputError: The tokenizer cannot tell which characters a token stands for.
        """
        require_offsets(tokenizer)
        return cls(tokenizer, max_length, options.loss_on, options.packing)

    @property
    def peft_type(self) -> str:
        """PEFT's name of the task."""
        return "CAUSAL_LM"

    @property
    def better(self) -> Mapping[str, Better]:
        """The metrics and which way each improves."""
        return {
            "loss": "lower",
            "perplexity": "lower",
            "bits_per_byte": "lower",
            "token_accuracy": "higher",
        }

    @property
    def headline(self) -> str:
        """The loss: seeds scatter evenly about its mean, about perplexity's they do not."""
        return "loss"

    def build(self, folder: Path, seed: int, form: BaseForm = FLOAT32) -> Headed:
        """Load the model with the head it was pretrained with; see heads.load_writer.

        Raises:
            InputError: Rows are to be packed, and the model cannot keep them apart.
        """
        headed = load_writer(AutoModelForCausalLM, folder, seed, form)
        check_positions(headed.model, self.max_length)
        if self.packing:
            check_packing(headed.model)
        return headed

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Tokenize the columns `prompt` and `response`, joined; see continuation.Continuation.

        Raises:
            InputError: No row has a token that counts.
        """
        return Continuation(self.tokenizer, self.max_length, self.loss_on).encode(rows)

    def for_training(self, examples: Sequence[Example]) -> list[Example]:
        """Leave out rows without a counted token, and pack the others where that is asked for."""
        counted = [e for e in examples if any(label != UNCOUNTED for label in e["labels"])]
        return pack(counted, self.max_length) if self.packing else counted

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad on the right to the longest example of the batch."""
        padding: Any = self.tokenizer.pad_token_id
        batch = {
            "input_ids": padded(examples, "input_ids", padding),
            "labels": padded(examples, "labels", UNCOUNTED),
        }
        if "position_ids" in examples[0]:
            # Padding at position 0 is a row of its own each, and no mask hides where rows begin.
            return batch | {"position_ids": padded(examples, "position_ids", 0)}
        size = torch.tensor([example["bytes"] for example in examples])
        return batch | {"attention_mask": presence(examples), "bytes": size}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean loss of the batch's counted tokens, in nats."""
        return mean_nats(*_predicted(model, batch))

    def outputs(self, model: nn.Module, batch: Batch) -> pd.DataFrame:
        """Predict one batch, a line per row.

        Returns:
            label: Tokens counted; predicted: of these, those predicted right; loss: nats per token,
            NaN without any; tokens (again), nats (sum) and bytes (of the counted text, UTF-8).
        """
        table = token_table(*_predicted(model, batch)).rename(columns={"right": "predicted"})
        table = table.assign(label=table["tokens"], bytes=batch["bytes"].cpu().numpy())
        return table.reindex(columns=["label", "predicted", "loss", "tokens", "nats", "bytes"])

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float | None]:
        """Compute loss, perplexity, bits per byte and token accuracy, over all tokens at once."""
        loss = loss_per_token(predictions)
        size = total(predictions, "bytes")
        bits = total(predictions, "nats") / math.log(2)
        right = total(predictions, "predicted") / total(predictions, "tokens")
        return {
            "loss": loss,
            "perplexity": perplexity(loss),
            "bits_per_byte": bits / size if size else None,
            "token_accuracy": right,
        }

    def confusion(self, predictions: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG002
        """Return no row: a table of tokens taken for others would be as large as the vocabulary."""
        return pd.DataFrame({"actual": [], "predicted": []}, dtype=object)


def _predicted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Run the model: what each place says of the next token, and that token's label."""
    taken = ("input_ids", "attention_mask", "position_ids")
    inputs = {name: batch[name] for name in taken if name in batch}
    # With a cache, rows that share a sequence would not be kept apart; and it costs memory.
    logits = model(**inputs, use_cache=False).logits
    return logits[:, :-1], batch["labels"][:, 1:]
