"""The tasks there are, known without loading a model.

Downloading needs to know what rows a task learns from, and scoring which output it compares;
neither should grow stale with an edit to training.
"""

from dataclasses import dataclass
from typing import Literal

Rows = Literal["labels", "numbers", "texts", "words"]
Output = Literal["pooled", "last_hidden"]


@dataclass(frozen=True)
class TaskKind:
    """What a task is about.

    Attributes:
        rows: What its rows hold beside their text. `labels`: one of a few names; `numbers`: a
            real number; `texts`: a prompt and its response; `words`: a text to be written.
        output: The model output that scoring compares where it is left to the task: the one
            that the task's head reads.
        about: A line for people: what goes in, what comes out, and what it is measured by.
    """

    rows: Rows
    output: Output
    about: str


TASKS: dict[str, TaskKind] = {
    "classification": TaskKind(
        "labels",
        "pooled",
        "a text or a pair of texts to one of 2 to 1000 labels; accuracy, macro-F1, Matthews, AUC",
    ),
    "regression": TaskKind(
        "numbers", "pooled", "a text or a pair of texts to a number; Pearson, Spearman, MAE"
    ),
    "causal_lm": TaskKind(
        "texts",
        "last_hidden",
        "a prompt and its response, or plain text, continued token by token; loss per token, "
        "perplexity, bits per byte",
    ),
    "seq2seq": TaskKind(
        "words",
        "last_hidden",
        "a text to a written answer; exact match, accuracy, macro-F1, positive-class F1",
    ),
}
