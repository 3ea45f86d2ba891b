"""Score tables of real models' shapes, without the models."""

import numpy as np
import pandas as pd

Shapes = list[tuple[str, str, int, int]]

BERT: Shapes = [
    ("attention.self.query", "query", 768, 768),
    ("attention.self.key", "key", 768, 768),
    ("attention.self.value", "value", 768, 768),
    ("attention.output.dense", "dense", 768, 768),
    ("intermediate.dense", "up", 768, 3072),
    ("output.dense", "down", 3072, 768),
]


def llama(hidden: int, feed_forward: int, key_value: int) -> Shapes:
    """A Llama block's linear layers; `key_value` below `hidden` is grouped-query attention."""
    return [
        ("self_attn.q_proj", "query", hidden, hidden),
        ("self_attn.k_proj", "key", hidden, key_value),
        ("self_attn.v_proj", "value", hidden, key_value),
        ("self_attn.o_proj", "dense", hidden, hidden),
        ("mlp.gate_proj", "gate", hidden, feed_forward),
        ("mlp.up_proj", "up", hidden, feed_forward),
        ("mlp.down_proj", "down", feed_forward, hidden),
    ]


def score_table(
    block: Shapes, n_blocks: int, scores: np.ndarray | None = None, trials: int = 1, seed: int = 0
) -> pd.DataFrame:
    """A score table of `n_blocks` equal blocks; scores `(n_modules, n_trials)`, or random."""
    modules = [
        {"module": f"encoder.layer.{b}.{name}", "block": b, "kind": kind, "d_in": d, "d_out": o}
        for b in range(n_blocks)
        for name, kind, d, o in block
    ]
    if scores is None:
        scores = np.random.default_rng(seed).gamma(2.0, size=(len(modules), trials))
    rows = [
        {
            **module,
            "parameters_per_rank": module["d_in"] + module["d_out"],
            "trial": trial,
            "score": float(score),
        }
        for module, of_module in zip(modules, scores, strict=True)
        for trial, score in enumerate(of_module)
    ]
    return pd.DataFrame(rows)


def with_components(scores: pd.DataFrame, values: list[list[float]]) -> pd.DataFrame:
    """Spread each row of a table of one trial over components, with these scores."""
    parts = [
        scores.iloc[[row] * len(of_module)].assign(component=range(len(of_module)), score=of_module)
        for row, of_module in enumerate(values)
    ]
    return pd.concat(parts, ignore_index=True)
