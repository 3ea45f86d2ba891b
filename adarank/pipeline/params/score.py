"""The score section of params.yaml."""

from typing import Literal

from pydantic import Field

from adarank.pipeline.params.loader import Section

EstimatorName = Literal["exact", "linearized", "as_published"]


class NoiseSection(Section):
    """The noise on the disturbed module."""

    scale: float = Field(
        default=1.0, gt=0, description="its standard deviation, in the unit relative_to names"
    )
    relative_to: Literal["module", "global", "absolute"] = Field(
        default="module",
        description="module: the weight's own standard deviation; global: that of all scored "
        "weights together; absolute: 1, so that scale is in weight units (0.02, say)",
    )
    bias: bool = Field(
        default=True, description="whether the bias is disturbed too, by its own deviation"
    )


class StopSection(Section):
    """When the exact estimator may end before `score.trials`; both null: never."""

    relative_error: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="when every module's standard error / mean is at most this",
    )
    plan_budget: float | None = Field(
        default=None,
        gt=0,
        description="when the nearest whole ranks at this budget are equal after two trials in a "
        "row; give it the study's largest (a key of its own: new budgets never rescore)",
    )


class ScoreSection(Section):
    """How modules are scored."""

    estimator: EstimatorName = Field(
        default="exact",
        description="for --signal disagreement: exact, the paper's; linearized, one backward for "
        "all modules; as_published, the released notebook's, whose noise piles up (to understand "
        "its ranks, not to use)",
    )
    modules: list[str] = Field(
        default=["all-linear"],
        min_length=1,
        description="kinds of module (query, key, value, dense ...) or all-linear",
    )
    output: Literal["auto", "pooled", "logits", "last_hidden"] = Field(
        default="auto",
        description="the output compared: pooled, logits (a checkpoint with a head), last_hidden, "
        "or auto: last_hidden of a causal or encoder-decoder model, pooled of any other",
    )
    trials: int = Field(
        default=5, ge=1, description="exact, as_published: (most) repetitions per module"
    )
    sketches: int = Field(
        default=1, ge=1, description="linearized: random projections of the whole probe"
    )
    distance: Literal["l1", "l2", "kl"] = Field(
        default="l1",
        description="exact: mean absolute difference, root mean squared difference, or symmetric "
        "KL of the softmax",
    )
    pairs: Literal["all", "disjoint"] = Field(
        default="all",
        description="exact: every pair of draws (less error), or one pair a trial (the paper)",
    )
    reference: Literal["perturbed", "pristine"] = Field(
        default="perturbed",
        description="exact: draws against draws (the paper), or against the pretrained model",
    )
    noise: NoiseSection = Field(
        default=NoiseSection(), description="scale, relative_to (module, global, absolute), bias"
    )
    stop: StopSection = Field(
        default=StopSection(), description="exact: relative_error and plan_budget, or null"
    )
    batch_size: int = Field(default=8, ge=1, description="most probe texts per forward")
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="most GiB that a pass or a task's signal holds; null: half of what is free",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="float32: as model.dtype has it; bfloat16: a float32 model is scored in "
        "bfloat16, and the distance is reported",
    )
    seed: int = Field(default=0, ge=0, description="decides, with module and trial, every draw")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|sharded)$",
        description="auto, cpu or cuda; sharded: over all GPUs, by accelerate's device_map",
    )
