"""The section signal of params.yaml, and the names of all signals."""

from typing import Literal, get_args

from pydantic import Field

from adarank.pipeline.params.loader import Section

SignalName = Literal["disagreement", "linearized", "as_published", "stable_rank", "learned_order"]
"""Signals of the model alone: scored once, whatever the tasks."""

TaskSignalName = Literal[
    "task_disagreement",
    "weight_gradient",
    "fisher",
    "gradient_spectrum",
    "gradient_directions",
    "activation_variance",
    "input_directions",
]
"""Signals of a task's train rows: scored once for each task."""

SIGNALS: tuple[str, ...] = get_args(SignalName)
TASK_SIGNALS: tuple[str, ...] = get_args(TaskSignalName)

MEASURED = "measured"
"""A signal of a task that no stage computes: `python -m bench.landscape --write` trains for it."""


class SignalSection(Section):
    """How signals of a task are computed, always on train rows."""

    rows: int = Field(
        default=256, ge=1, description="train rows that signals are computed on, a sample"
    )
    batch_size: int = Field(
        default=16, ge=1, description="rows per forward; decides the warm-up's batches too"
    )
    warmup_steps: int = Field(
        default=100,
        ge=0,
        description="signals of labels: AdamW steps, a batch each, that train a new head alone on "
        "frozen features first (before them label gradients are noise); 0 for none",
    )
    warmup_learning_rate: float = Field(
        default=0.01, gt=0, le=1, description="AdamW's rate in the warm-up, constant; at most 1"
    )
    components: int = Field(
        default=64,
        ge=1,
        description="gradient_spectrum, activation_variance: most ranks of a module that get a "
        "score; gradient_directions, input_directions: most directions; at least the highest rank "
        "a plan may give",
    )
    seed: int = Field(
        default=0, ge=0, description="decides the sample, the new head and the warm-up's order"
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu or cuda"
    )
