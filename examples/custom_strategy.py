"""Define a strategy: ranks by score, and the last blocks preferred; beside it its control."""

import sys

import numpy as np
from transformers import AutoModel, AutoTokenizer

import adarank
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.strategy import Strategy

PROBE = [
    "Who wrote the first long letter?",
    "The old house stands by the river.",
    "How many trees did the king plant in the city?",
]


def late(question: Question) -> np.ndarray:
    """Weigh a module by its score times its depth, `(n_modules,)`."""
    return question.signal("disagreement").score * (question.blocks + 1)


strategies = {"late": Strategy(late, "score times depth", signals=("disagreement",))}

source = sys.argv[1]
model, tokenizer = AutoModel.from_pretrained(source), AutoTokenizer.from_pretrained(source)
scores = adarank.score(model, PROBE, tokenizer, estimator="linearized", sketches=4)
for name in ("late", "reversed_late", "permuted_late"):
    plan = adarank.allocate(scores, budget=4, strategy=name, defined=strategies)
    print(name, plan.parameters)
    for module, rank in plan.ranks.items():
        print(f"  {rank:3d}  {module}")
