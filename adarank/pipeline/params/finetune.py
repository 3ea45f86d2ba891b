"""The section finetune of params.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from adarank.errors import Problem
from adarank.pipeline.params.loader import Section
from adarank.pipeline.params.study import Seeds, distinct

HEADLINE = "headline"
"""What finetune.select_by may say instead of a metric's name."""

ScheduleName = Literal["linear", "cosine", "constant", "staircase"]
"""The schedules of adarank.tuning.loop.schedules: the schema alone must not depend on training."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Rates = Annotated[
    list[Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    Field(min_length=1),
    BeforeValidator(_listed),
    AfterValidator(distinct),
]

Ratio = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]

Ratios = Annotated[
    list[Ratio], Field(min_length=1), BeforeValidator(_listed), AfterValidator(distinct)
]

TuningSeeds = Annotated[Seeds, BeforeValidator(_listed)]


class FinetuneSection(Section):
    """How a plan is trained."""

    learning_rate: Rates = Field(
        default=[0.001],
        description="the optimizer's highest rate; of a list, the one that does best on validation",
    )
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw",
        description="adamw, or muon: factors step by an equal spectral norm in every module, the "
        "rest by AdamW; for strategies whose ranks stay as planned",
    )
    rate_ratio: Ratios = Field(
        default=[1.0],
        description="the learning rate of B over that of A (LoRA+); adapters alone; of a list, the "
        "one that does best on validation, tried with every learning rate",
    )
    head_rate_ratio: Ratio = Field(
        default=1.0,
        description="the learning rate of the head, and of biases and norms that are trained, over "
        "that of A; adapters alone",
    )
    tuning_seed: TuningSeeds = Field(
        default=[100],
        description="with which a list's rates are tried, none of study.seeds; of several, the "
        "mean decides",
    )
    schedule: ScheduleName = Field(
        default="linear",
        description="linear, cosine, constant, or staircase (decay_rate every decay_steps)",
    )
    warmup_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="part of the steps: a linear rise from 0"
    )
    decay_rate: float = Field(
        default=0.8, gt=0, le=1, description="staircase: the factor of one stair"
    )
    decay_steps: int = Field(default=1000, ge=1, description="staircase: optimiser steps per stair")
    together: int = Field(
        default=1,
        ge=1,
        description="runs of a cell trained at once over one pretrained model: the rates of a "
        "list, then the seeds; needs dropout switched off; 1: one after another",
    )
    steps: int = Field(default=150, ge=1, description="optimiser steps at most")
    batch_size: int = Field(default=16, ge=1, description="rows an optimiser step")
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        description="parts that a step's rows go through the model in, one after another: less "
        "memory, the same gradient; at most batch_size",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="blocks compute their activations again in the backward: less memory, a third "
        "more time, the same gradient",
    )
    max_length: int = Field(
        default=64, ge=4, description="tokens of a text at most; longer ones are cut"
    )
    evaluate_every: int = Field(
        default=50, ge=1, description="optimiser steps between looks at validation"
    )
    select_by: str = Field(
        default="loss",
        description="validation metric that chooses the weights kept, and the learning rate of "
        "a list: loss ..., or headline for the task's own",
    )
    ema: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = Field(
        default=None,
        description="decay of an average of the weights over steps, which is looked at and kept "
        "in their place; null for none",
    )
    patience: int | None = Field(
        default=None, ge=1, description="looks without a better one that end a run; null for never"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the adapters' inputs")
    base_dropout: bool = Field(
        default=True,
        description="whether the pretrained model's own dropout is active while training; "
        "without it a frozen prefix is computed once",
    )
    prefix_cache_gb: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="memory for the outputs of frozen first blocks, in GiB; 0 for none",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, allow_inf_nan=False, description="the optimizer's"
    )
    max_grad_norm: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description="gradients are scaled down to this norm; 0: never",
    )
    bf16: Literal["auto"] | bool = Field(
        default="auto", description="forwards in bfloat16; auto where a GPU has it"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda")

    @property
    def tunes(self) -> bool:
        """Whether there are several rates or ratios to choose from."""
        return len(self.learning_rate) * len(self.rate_ratio) > 1


def tuning_seed_problems(
    section: FinetuneSection, seeds: list[int], where: str = ""
) -> list[Problem]:
    """Describe the tuning seeds that are also the study's seeds; none where nothing is tuned."""
    return [
        Problem(
            "the seed that rates are tried with is also one that is compared",
            f"{where}finetune.tuning_seed and study.seeds",
            f"{seed}, which is among {seeds}",
            "a seed that no cell is measured with",
            f"finetune.tuning_seed: {max([*seeds, *section.tuning_seed]) + 1}",
        )
        for seed in section.tuning_seed
        if section.tunes and seed in seeds
    ]


def optimizer_problem(
    section: FinetuneSection, strategy: str, tuner: str, where: str = ""
) -> Problem | None:
    """Describe an optimizer that a strategy's tuner cannot use; None where it can."""
    if section.optimizer != "muon" or tuner in ("lora", "eva"):
        return None
    return Problem(
        f"the tuner {tuner} trains no factors of fixed ranks",
        f"{where}finetune.optimizer, strategy {strategy}",
        section.optimizer,
        "strategies that LoRA trains with the plan's ranks, or eva",
        "finetune.optimizer: adamw, or a study of its own for this strategy",
    )
