"""Real models for `bench.module_order`: their modules' features and exact disagreement.

A model is a folder in Hugging Face's format. A file probe.txt in it, a text per line, is its
probe; otherwise the built-in sentences are, which suits a model of English. Models of over 100
modules get two trials at most: their many modules already cost as many forwards.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import transformers
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

import adarank
from adarank.ordering.features import module_features
from adarank.ordering.learned_order import module_weight
from bench.subjects import SENTENCES

Floats = NDArray[np.float64]
TEXTS, LENGTH = 8, 128
LARGE, LARGE_TRIALS = 100, 2


@dataclass(frozen=True)
class Scored:
    """A model's modules.

    Attributes:
        name: The model's.
        features: A row per module, by module name.
        trials: Exact disagreement, shape (n_modules, n_trials).
        feature_seconds: CPU time that the features took.
        score_seconds: CPU time that the exact score took.
    """

    name: str
    features: pd.DataFrame
    trials: Floats
    feature_seconds: float
    score_seconds: float

    @property
    def shares(self) -> Floats:
        """Each module's share of the summed disagreement, shape (n_modules,)."""
        means = self.trials.mean(axis=1)
        return means / means.sum()


def scored(folder: Path, cache: Path, trials: int) -> Scored:
    """Make features and exact scores of one model, or read them where they were made before."""
    kept = cache / f"{folder.name}-{trials}.parquet"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _table(folder, trials).to_parquet(kept)
    table = pd.read_parquet(kept)
    scores = [name for name in table if name.startswith("trial ")]
    times = ["feature_seconds", "score_seconds"]
    return Scored(
        folder.name,
        table.drop(columns=[*scores, *times]),
        table[scores].to_numpy(dtype=np.float64),
        *(float(table[name].iloc[0]) for name in times),
    )


def _table(folder: Path, trials: int) -> pd.DataFrame:
    transformers.logging.set_verbosity_error()
    model: Any = AutoModel.from_pretrained(folder, dtype="float32").eval()
    began = time.process_time()
    modules = adarank.find_modules(model)
    features = module_features([module_weight(model, one) for one in modules])
    features_done = time.process_time()
    scores = adarank.score(
        model,
        _texts(folder),
        AutoTokenizer.from_pretrained(folder),
        max_length=LENGTH,
        batch_size=TEXTS,
        trials=trials if len(modules) <= LARGE else min(trials, LARGE_TRIALS),
    )
    wide = scores.pivot(index="module", columns="trial", values="score").loc[features.index]
    wide.columns = [f"trial {trial}" for trial in wide.columns]
    return pd.concat([features, wide], axis=1).assign(
        feature_seconds=features_done - began, score_seconds=time.process_time() - features_done
    )


def _texts(folder: Path) -> Sequence[str]:
    own = folder / "probe.txt"
    return (own if own.exists() else SENTENCES).read_text().splitlines()[:TEXTS]
