"""RankPlan: the rank and alpha of every module, what it costs, and its PEFT form."""

import json
import re
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from adarank.allocation import peft_form
from adarank.allocation.growth import Growth
from adarank.allocation.scale import Scale
from adarank.errors import InputError, Problem

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch.nn import Module as TorchModule

Tuner = Literal["lora", "adalora", "eva", "full", "growing"]

_REMEDY = "make the plan again: `dvc repro`"


@dataclass(frozen=True)
class PlannedModule:
    """What a plan gives one module.

    Attributes:
        name: Full dotted name in the base model (no task head's prefix).
        block: Its depth, 0 nearest the input.
        kind: What it is in its block.
        rank: LoRA rank; 0 means no adapter.
        alpha: LoRA alpha.
        parameters: Trainable parameters that the rank costs.
    """

    name: str
    block: int
    kind: str
    rank: int
    alpha: float
    parameters: int


@dataclass(frozen=True)
class RankPlan:
    """The integer rank and alpha of every module, and what they cost.

    Attributes:
        schema: Version of this form, 1.
        strategy: Which strategy made the weights.
        budget: What could be spent, as an average rank: the parameters of that uniform rank.
        unit: The budget's unit, `average_rank`.
        parameters: Trainable parameters that all ranks cost.
        model_sha256: Hash of the model folder that was scored; empty if none was.
        scale: How alphas follow from ranks.
        modules: Sorted by block, then name; those of rank 0 are listed too.
        tuner: What trains the plan: `lora` with exactly these ranks; `adalora` and `eva`, which
            start from them and move rank about themselves; `growing`, which changes ranks while
            it trains and ends at their parameters; `full`, which trains every weight and whose
            ranks are 0.
        growth: How `growing` changes the ranks; None for other tuners.

    Raises:
        InputError: The parts contradict each other; every contradiction at once.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False
    )

    schema: Literal[1]
    strategy: str
    budget: float
    unit: Literal["average_rank"]
    parameters: int
    model_sha256: str
    scale: Scale
    modules: tuple[PlannedModule, ...]
    tuner: Tuner = "lora"
    growth: Growth | None = None

    def __post_init__(self) -> None:
        problems = [problem for module in self.modules for problem in self._contradictions(module)]
        places = [(module.block, module.name) for module in self.modules]
        names = {module.name for module in self.modules}
        spent = sum(module.parameters for module in self.modules)
        if places != sorted(places) or len(names) != len(places):
            problems.append(
                Problem(
                    "modules not sorted by block and name, each once",
                    "plan.modules",
                    ", ".join(name for _, name in places),
                    "each module once, the block nearest the input first",
                    _REMEDY,
                )
            )
        if spent != self.parameters:
            problems.append(
                Problem(
                    "not the modules' sum", "plan.parameters", self.parameters, f"{spent}", _REMEDY
                )
            )
        if problems:
            raise InputError(*problems)

    def _contradictions(self, module: PlannedModule) -> list[Problem]:
        where, expected = f"plan.modules: {module.name}", self.scale.alpha(max(module.rank, 0))
        problems: list[Problem] = []
        if not isfinite(expected):
            what = "alpha is beyond what a number can hold"
            remedy = "a lower scale.value"
            problems.append(Problem(what, where, expected, "a finite number", remedy))
        elif module.alpha != expected:
            problems.append(
                Problem("alpha is not the scale's", where, module.alpha, f"{expected}", _REMEDY)
            )
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
                        "not a plan's",
                        ".".join(["plan", *(str(part) for part in detail["loc"])]),
                        "null" if detail["input"] is None else detail["input"],
                        detail["msg"],
                        _REMEDY,
                    )
                    for detail in error.errors(include_url=False)
                )
            ) from None

    def to_json(self) -> dict[str, Any]:
        """The JSON form: schema, strategy, budget, unit, parameters, scale, modules ..."""
        form = {**asdict(self), "modules": [asdict(module) for module in self.modules]}
        if self.growth is None:
            del form["growth"]
        return form

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by module name; 0 where there is no adapter."""
        return {module.name: module.rank for module in self.modules}

    @property
    def scaling(self) -> dict[str, float]:
        """The factor before B A x by module name, for every module of rank above 0."""
        return {m.name: self.scale.factor(m.rank) for m in self.adapted}

    @property
    def adapted(self) -> tuple[PlannedModule, ...]:
        """The modules of rank above 0."""
        return tuple(module for module in self.modules if module.rank > 0)

    @property
    def max_rank(self) -> int:
        """The highest rank: what a server of many adapters must allow."""
        return max((module.rank for module in self.modules), default=0)

    @property
    def target_modules(self) -> list[str]:
        """Names of the adapted modules, sorted; PEFT finds them under a task head too."""
        return sorted(module.name for module in self.adapted)

    @property
    def rank_pattern(self) -> dict[str, int]:
        """PEFT's rank_pattern, for the base model alone or under a task head."""
        return {re.escape(module.name): module.rank for module in self._longest_first()}

    @property
    def alpha_pattern(self) -> dict[str, float]:
        """PEFT's alpha_pattern, for the base model alone or under a task head."""
        return {re.escape(module.name): module.alpha for module in self._longest_first()}

    def _longest_first(self) -> list[PlannedModule]:
        # PEFT takes the first key that matches, and a name's key matches longer names too.
        return sorted(self.adapted, key=lambda module: -module.name.count("."))

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
                names, anchored, and checked to exist; without it, portable.
            overrides: Anything else that LoraConfig takes: task_type, lora_dropout,
                modules_to_save ...

        Raises:
            InputError: No module has a rank, the model is not the plan's, or an override is
                the plan's to decide.
        """
        return peft_form.lora_config(self, model, overrides)
