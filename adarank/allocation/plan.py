"""RankPlan: the rank and alpha of every module, what they cost, and their PEFT form."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from adarank.allocation import peft_form
from adarank.allocation.growth import Growth
from adarank.allocation.plan_cost import PlanCost
from adarank.allocation.planned import PlannedModule
from adarank.allocation.scale import Scale
from adarank.allocation.starts import StartName
from adarank.errors import InputError, Problem
from adarank.models.bias_norm import BiasNorm

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch.nn import Module as TorchModule

Tuner = Literal["lora", "adalora", "eva", "full", "growing"]
Modules = tuple[PlannedModule, ...]

_REMEDY = "make the plan again: `dvc repro`"
_DEFAULTS = {
    "variants": [],
    "note": "",
    "growth": None,
    "start": "kaiming",
    "rate_ratio": None,
    "cost": None,
    "bias_norm": None,
}
"""What the JSON form leaves out."""


@dataclass(frozen=True)
class RankPlan:
    """The integer rank and alpha of every module, and what they cost.

    Attributes:
        schema: Version of the JSON form: 1, or 2 with variants or a note.
        strategy: Which strategy made the weights.
        budget: What could be spent, as an average rank: the parameters of that uniform rank.
        unit: What uniform ranks of the budget cost is spent in: `average_rank` for trainable
            parameters, `training_flops` or `memory`.
        parameters: Trainable parameters that all ranks of `modules` cost, and `bias_norm`.
        model_sha256: Hash of the model folder that was scored; empty if none was.
        scale: How alphas follow from ranks.
        modules: Sorted by block, then name; those of rank 0 are listed too.
        tuner: What trains the plan: `lora` with exactly these ranks; `adalora` and `eva`, which
            start from them and redistribute ranks themselves; `growing`, which changes ranks while
            it trains and ends at their parameters; `full`, which trains every weight and whose
            ranks are 0.
        variants: Of a control with random ranks: further draws of the same modules. Different
            seeds train different draws; see `for_seed`.
        note: Why the plan is not what its strategy's name promises; mostly empty.
        growth: How `growing` changes the ranks; None for other tuners.
        start: How the factors of `lora` begin; see adarank.tuning.starts.
        rate_ratio: B's learning rate over A's; None for the training's own.
        cost: What it costs in the budget's unit; None where that is parameters.
        bias_norm: Biases and norms that are trained too; None for none.

    Raises:
        InputError: The parts contradict each other; every contradiction at once.

    Example:
        >>> modules = (
        ...     PlannedModule("layer.0.query", 0, "query", rank=1, alpha=2.0, parameters=64),
        ...     PlannedModule("layer.1.query", 1, "query", rank=3, alpha=6.0, parameters=192),
        ... )
        >>> plan = RankPlan(
        ...     schema=1, strategy="mine", budget=2.0, unit="average_rank", parameters=256,
        ...     model_sha256="", scale=Scale("ratio", 2.0), modules=modules,
        ... )
        >>> plan.ranks
        {'layer.0.query': 1, 'layer.1.query': 3}
        >>> RankPlan.from_json(plan.to_json()) == plan
        True
        >>> config = plan.lora_config(task_type="SEQ_CLS")  # for peft.get_peft_model
        >>> config.rank_pattern["layer\\\\.1\\\\.query"], sorted(config.target_modules)
        (3, ['layer.0.query', 'layer.1.query'])
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False
    )

    schema: Literal[1, 2]
    strategy: str
    budget: float
    unit: Literal["average_rank", "training_flops", "memory"]
    parameters: int
    model_sha256: str
    scale: Scale
    modules: Modules
    tuner: Tuner = "lora"
    variants: tuple[Modules, ...] = ()
    note: str = ""
    growth: Growth | None = None
    start: StartName = "kaiming"
    rate_ratio: float | None = None
    cost: PlanCost | None = None
    bias_norm: BiasNorm | None = None

    def __post_init__(self) -> None:
        problems = [p for place, modules in self._lists() for p in self._faults(place, modules)]
        spent = sum(module.parameters for module in self.modules) + self.bias_norm_parameters
        if spent != self.parameters:
            what, where = "not the modules' sum", "plan.parameters"
            problems.append(Problem(what, where, self.parameters, f"{spent}", _REMEDY))
        schema = 2 if self.variants or self.note else 1
        if schema != self.schema:
            what = "variants and notes need schema 2, other plans schema 1"
            problems.append(Problem(what, "plan.schema", self.schema, f"{schema}", _REMEDY))
        if self.start != "kaiming" and self.tuner != "lora":
            what = f"the tuner {self.tuner} decides itself how its weights begin"
            problems.append(Problem(what, "plan.start", self.start, "kaiming", _REMEDY))
        if self.rate_ratio is not None and not 0 < self.rate_ratio < inf:
            what, expected = "no ratio of learning rates", "a finite number above 0"
            problems.append(Problem(what, "plan.rate_ratio", self.rate_ratio, expected, _REMEDY))
        unit = self.cost.unit if self.cost else "average_rank"
        draws = len(self.cost.spent) if self.cost else self.draws
        if (self.unit, self.draws) != (unit, draws):
            what, got = "not the cost of this plan", f"{unit}, {draws} draws"
            expected = f"{self.unit}, {self.draws} draws"
            problems.append(Problem(what, "plan.cost", got, expected, _REMEDY))
        if problems:
            raise InputError(*problems)

    def _lists(self) -> Iterator[tuple[str, Modules]]:
        yield "plan.modules", self.modules
        yield from ((f"plan.variants.{n}", modules) for n, modules in enumerate(self.variants))

    def _faults(self, where: str, modules: Modules) -> list[Problem]:
        problems = [p for module in modules for p in self._contradictions(where, module)]
        places = [(module.block, module.name) for module in modules]
        if places != sorted(places) or len({name for _, name in places}) != len(places):
            what, got = "modules not sorted by block and name, each once", [n for _, n in places]
            expected = "each module once, the block nearest the input first"
            problems.append(Problem(what, where, ", ".join(got), expected, _REMEDY))
        if places != [(module.block, module.name) for module in self.modules]:
            what, expected = "not the modules of the plan", "another draw for the same modules"
            problems.append(Problem(what, where, f"{len(places)} modules", expected, _REMEDY))
        return problems

    def _contradictions(self, place: str, module: PlannedModule) -> list[Problem]:
        where, expected = f"{place}: {module.name}", self.scale.alpha(max(module.rank, 0))
        problems: list[Problem] = []
        if not isfinite(expected):
            what = "alpha is beyond what a number can hold"
            remedy = "a lower scale.value"
            problems.append(Problem(what, where, expected, "a finite number", remedy))
        elif module.alpha != expected:
            what = "alpha is not the scale's"
            problems.append(Problem(what, where, module.alpha, f"{expected}", _REMEDY))
        whole = module.parameters % module.rank == 0 if module.rank > 0 else not module.parameters
        if module.rank < 0 or module.parameters < 0 or not whole:
            got = f"rank {module.rank}, {module.parameters} parameters"
            expected_parameters = "a rank of at least 0, parameters a multiple of it"
            problems.append(Problem("no such rank", where, got, expected_parameters, _REMEDY))
        return problems

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "RankPlan":
        """Read the JSON form, strictly.

        Raises:
            InputError: Unknown, missing or wrongly typed keys, or parts that contradict
                each other; all at once.
        """
        try:
            return TypeAdapter(cls).validate_json(json.dumps(value))
        except ValidationError as error:
            raise InputError(
                *(
                    Problem(
                        "not valid in a plan",
                        ".".join(["plan", *(str(part) for part in detail["loc"])]),
                        "null" if detail["input"] is None else detail["input"],
                        detail["msg"],
                        _REMEDY,
                    )
                    for detail in error.errors(include_url=False)
                )
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Convert to the JSON form: schema, strategy, budget, unit, parameters, modules ..."""
        form = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return {k: v for k, v in form.items() if k not in _DEFAULTS or v != _DEFAULTS[k]}

    @property
    def draws(self) -> int:
        """How many different rank assignments the plan holds; 1 but for random controls."""
        return 1 + len(self.variants)

    def for_seed(self, seed: int) -> "RankPlan":
        """Select the ranks that a seed trains: draw number seed modulo `draws`.

        A control with random ranks is one method, and its draw one source of its variance. With
        one draw for all seeds, that variance would be missing from every interval.

        Returns:
            A plan of one draw, the plan itself where there is no other.
        """
        if not self.variants:
            return self
        draw = seed % self.draws
        modules = (self.modules, *self.variants)[draw]
        cost = self.cost and replace(self.cost, spent=self.cost.spent[draw : draw + 1])
        return replace(
            self,
            cost=cost,
            schema=2 if self.note else 1,
            modules=modules,
            variants=(),
            parameters=sum(module.parameters for module in modules) + self.bias_norm_parameters,
        )

    @property
    def bias_norm_parameters(self) -> int:
        """Trainable parameters of biases and norms."""
        return self.bias_norm.parameters if self.bias_norm else 0

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by module name; 0 where there is no adapter."""
        return {module.name: module.rank for module in self.modules}

    @property
    def scaling(self) -> dict[str, float]:
        """Factor before B A x by module name, for every module of rank above 0."""
        return {m.name: self.scale.factor(m.rank) for m in self.adapted}

    @property
    def adapted(self) -> tuple[PlannedModule, ...]:
        """The modules of rank above 0."""
        return tuple(module for module in self.modules if module.rank > 0)

    @property
    def max_rank(self) -> int:
        """Highest rank: what a server of many adapters must allow."""
        return max((module.rank for module in self.modules), default=0)

    @property
    def target_modules(self) -> list[str]:
        """Names of the adapted modules, sorted; PEFT finds them under a task head too."""
        return sorted(module.name for module in self.adapted)

    @property
    def rank_pattern(self) -> dict[str, int]:
        """PEFT's rank_pattern, for the base model alone or under a task head."""
        return peft_form.rank_pattern(self.modules)

    @property
    def alpha_pattern(self) -> dict[str, float]:
        """PEFT's alpha_pattern, for the base model alone or under a task head."""
        return peft_form.alpha_pattern(self.modules)

    def names_in(self, model: "TorchModule") -> dict[str, str]:
        """Find the adapted modules in a model: planned name to full name there.

        Raises:
            InputError: A module is missing there, or has another shape.
        """
        return peft_form.names_in(self.adapted, model)

    def lora_config(self, model: "TorchModule | None" = None, **overrides: Any) -> "LoraConfig":
        """Make the PEFT configuration that gives every module its rank and alpha.

        Args:
            model: The model to adapt, with or without a task head. With it, keys are full
                names, anchored, and checked to exist; without it, portable. A plan with biases
                trains all of the model's in PEFT (`bias="all"`), until others are frozen again.
            overrides: Anything else that LoraConfig takes: task_type, lora_dropout,
                modules_to_save ...

        Raises:
            InputError: No module has a rank, the model is not the plan's, or an override is
                the plan's to decide.
        """
        if self.bias_norm is not None:
            head = overrides.get("modules_to_save") or []
            norms = peft_form.norm_names(self.bias_norm, model)
            bias = "all" if self.bias_norm.biases else "none"
            overrides = {**overrides, "bias": bias, "modules_to_save": [*head, *norms] or None}
        return peft_form.lora_config(self.modules, self.scale, model, overrides)
