"""adapter_config.json: what it says of each module's rank and scale, read as PEFT reads it."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adarank.errors import InputError, Problem


class LoraFields(BaseModel):
    """The entries of adapter_config.json that decide ranks and scales; the others are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    r: int = Field(ge=1)
    lora_alpha: float
    use_rslora: bool = False
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    exclude_modules: list[str] | str | None = None

    def rank(self, name: str) -> int:
        """The rank of the module of this full name."""
        return int(_first_match(self.rank_pattern or {}, name, self.r))

    def alpha(self, name: str) -> float:
        """The alpha of the module of this full name."""
        return float(_first_match(self.alpha_pattern or {}, name, self.lora_alpha))

    def scale(self, name: str) -> float:
        """The factor before B A: alpha / rank, or alpha / sqrt(rank) for rslora."""
        rank = self.rank(name)
        return self.alpha(name) / (math.sqrt(rank) if self.use_rslora else rank)


def read_fields(config: Mapping[str, Any], path: Path) -> LoraFields:
    """Check the entries that decide ranks and scales.

    Raises:
        InputError: Every entry that is missing, of another type, or no regular expression.
    """
    try:
        fields = LoraFields.model_validate(config)
    except ValidationError as error:
        raise InputError(
            *(
                Problem(
                    "no LoRA's",
                    f"{path}: {'.'.join(str(part) for part in detail['loc'])}",
                    "null" if detail["input"] is None else detail["input"],
                    detail["msg"],
                    "save the adapter again with PEFT",
                )
                for detail in error.errors(include_url=False)
            )
        ) from None
    if problems := list(_bad_patterns(fields, path)):
        raise InputError(*problems)
    return fields


def written(
    config: Mapping[str, Any],
    ranks: Mapping[str, int],
    scales: Mapping[str, float],
    dropped: Collection[str],
) -> dict[str, Any]:
    """Make the configuration of an adapter whose modules have these ranks and scales.

    `r` is the highest rank, so that a server's limit on it holds for every module. `lora_alpha` is
    the commonest scale times r, and rslora is off: whoever reads these two alone scales right
    wherever all modules share one scale. Patterns are written only where ranks or scales differ.

    Args:
        config: The configuration that it was read from; whatever is not about ranks is kept.
        ranks: By full name: every module that has an adapter.
        scales: By full name: the factor before B A.
        dropped: Modules that had an adapter and have none now.
    """
    highest, scale = max(ranks.values()), _commonest(scales)
    alphas = {name: _number(scales[name] * rank) for name, rank in ranks.items()}
    uniform = set(ranks.values()) == {highest} and len(set(alphas.values())) == 1
    keys = {name: f"^{re.escape(name)}" for name in sorted(ranks)}
    return {
        **config,
        "r": highest,
        "lora_alpha": _number(scale * highest),
        "use_rslora": False,
        "rank_pattern": {} if uniform else {keys[name]: ranks[name] for name in keys},
        "alpha_pattern": {} if uniform else {keys[name]: alphas[name] for name in keys},
        "target_modules": sorted(ranks),
        "exclude_modules": _excluded(config.get("exclude_modules"), ranks, dropped),
        "layers_to_transform": None,  # target_modules has the full names of exactly these
        "layers_pattern": None,
        # How the factors began is over, and some starts demand a rank (orthogonal: an even one).
        "init_lora_weights": True,
        "eva_config": None,
        "inference_mode": True,
    }


def _first_match(pattern: Mapping[str, Any], name: str, default: Any) -> Any:
    """What a pattern has for a module: PEFT takes the first key that ends the module's name."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", name):
            return value
    return default


def _bad_patterns(fields: LoraFields, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for key in [*(fields.rank_pattern or {}), *(fields.alpha_pattern or {})]:
        try:
            re.compile(key)
        except re.error as error:
            problems.append(Problem("no regular expression", f"{path}: pattern", key, str(error)))
    return problems


def _excluded(
    given: list[str] | str | None, kept: Collection[str], dropped: Collection[str]
) -> list[str] | str | None:
    """exclude_modules, with every dropped module whose name ends as a kept one's."""
    endings = tuple(f".{name}" for name in kept)
    caught = [re.escape(name) for name in sorted(dropped) if name.endswith(endings)]
    if not caught:
        return given
    before = [given] if isinstance(given, str) else []
    if isinstance(given, list):
        before = [rf"(?:.*\.)?{re.escape(name)}" for name in given]
    return "|".join([*before, *caught])


def _commonest(scales: Mapping[str, float]) -> float:
    values = sorted(scales.values())
    return max(values, key=values.count)


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value
