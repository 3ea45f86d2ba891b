"""What a resized adapter still does at its task: accuracy, or a causal LM's loss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from adarank.factors.svd import Components
from adarank.factors.truncation import truncate
from adarank.pipeline.adapters.measuring import layers, load_adapted
from adarank.pipeline.adapters.reading import Adapter
from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.tuning.lora import ADAPTER

_BATCH = 32


class Task:
    """A base model with an adapter, whose factors are replaced by smaller ones in place.

    Attributes:
        name: What the metric is: accuracy or loss.
    """

    def __init__(self, adapter: Adapter, base: Path, test: Path) -> None:
        """Load the model and the rows: text and label as CSV or parquet, or a text a line."""
        self._adapter = adapter
        self._model = load_adapted(adapter, base)
        self._tokenizer = load_tokenizer(base)
        self.name = "loss" if adapter.config["task_type"] == "CAUSAL_LM" else "accuracy"
        if self.name == "loss":
            self._texts, self._labels = test.read_text().splitlines(), None
        else:
            rows = (pd.read_parquet if test.suffix == ".parquet" else pd.read_csv)(test)
            self._texts, self._labels = rows["text"].tolist(), torch.tensor(rows["label"].tolist())

    @torch.no_grad()
    def whole(self) -> float:
        """The metric of the adapter as it is in the model now; first: as it was saved."""
        hits, tokens = 0.0, 0
        for start in range(0, len(self._texts), _BATCH):
            batch = self._batch(self._texts[start : start + _BATCH])
            logits = self._model(**batch).logits
            if self._labels is None:
                targets = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)[:, 1:]
                hits += float(
                    nn.functional.cross_entropy(
                        logits[:, :-1].transpose(1, 2), targets, reduction="sum"
                    )
                )
                tokens += int((targets != -100).sum())
            else:
                hits += float((logits.argmax(-1) == self._labels[start : start + _BATCH]).sum())
                tokens += len(logits)
        return hits / tokens

    @torch.no_grad()
    def metric(self, components: Mapping[str, Components], ranks: Mapping[str, int]) -> float:
        """The metric with every module cut at a rank."""
        scales = {part.name: part.scale for part in self._adapter.linear}
        for name, layer in layers(self._model).items():
            kept = truncate(components[name], ranks[name], scales[name])
            found: Any = layer
            a, b = found.lora_A[ADAPTER].weight, found.lora_B[ADAPTER].weight
            a.zero_()[: kept.rank] = kept.a
            b.zero_()[:, : kept.rank] = kept.b
        return self.whole()

    def _batch(self, texts: list[str]) -> dict[str, Tensor]:
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        encoded = self._tokenizer(
            texts, padding=True, truncation=True, max_length=128, return_tensors="pt"
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}
