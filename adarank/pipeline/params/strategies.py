"""The strategies section of params.yaml: strategies that the user names."""

from typing import Annotated, Any

from pydantic import Field, RootModel, model_validator

from adarank.allocation.strategies.definitions import combined, custom, explicit, growing
from adarank.allocation.strategies.registry import (
    FAMILIES,
    FORMS,
    STRATEGIES,
    TRAINED_FORMS,
    is_reserved,
)
from adarank.allocation.strategies.strategy import Strategy
from adarank.pipeline.params.growing import GrowingSection
from adarank.pipeline.params.loader import Section

Rank = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Custom(Section):
    """A rank per block: the JSON form of adaptive-lora-placement."""

    layer_ranks: list[Rank] = Field(min_length=1)
    strategy_name: str = ""


class Definition(Section):
    """One strategy: exactly one of the four."""

    custom: Custom | None = None
    explicit: str | dict[str, str | list[Rank]] | None = None
    combined: dict[str, Annotated[int | float, Field(gt=0)]] | None = None
    growing: GrowingSection | None = None

    @model_validator(mode="after")
    def _one(self) -> "Definition":
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            kinds = "custom, explicit, combined, growing"
            raise ValueError(f"exactly one of {kinds}; here: {given or 'none'}")
        return self

    def strategy(self, name: str) -> Strategy:
        """Make the strategy that is defined."""
        if self.custom is not None:
            return custom(name, self.custom.layer_ranks)
        if self.explicit is not None:
            return explicit(name, self.explicit)
        if self.growing is not None:
            return growing(self.growing.growth())
        return combined(name, self.combined or {})


class StrategiesSection(RootModel[dict[Name, Definition]]):
    """Definitions by name."""

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if is_reserved(str(name)):
                names = ", ".join([*STRATEGIES, *FAMILIES])
                taken = f"{names}, and all that begin with {', '.join([*FORMS, *TRAINED_FORMS])}"
                raise ValueError(f"{name} has a meaning already; these are taken: {taken}")
        return value

    def strategies(self) -> dict[str, Strategy]:
        """Make the strategies that are defined.

        Raises:
            InputError: One that cannot be what it says.
        """
        return {name: one.strategy(name) for name, one in self.root.items()}
