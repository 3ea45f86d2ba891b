"""Ranks as JSON: what PEFT's LoraConfig takes, and where it comes from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

import pandas as pd

from adarank.allocation.plan import RankPlan
from adarank.models.coverage import Coverage
from adarank.scoring.probe import Probe
from adarank.scoring.table import summary


def as_json(value: dict[str, Any]) -> str:
    """Lay ranks out as JSON, in their order: PEFT takes the first key of a pattern that matches."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def lora_options(plan: RankPlan) -> dict[str, Any]:
    """Return the keyword arguments of LoraConfig that the plan decides, for any head."""
    config = plan.lora_config()
    return {
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "use_rslora": config.use_rslora,
        "target_modules": plan.target_modules,
        "rank_pattern": plan.rank_pattern,
        "alpha_pattern": plan.alpha_pattern,
    }


def about_probe(texts: Sequence[str], probe: Probe) -> dict[str, Any]:
    """Describe which texts were read, by number and hash."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return {"texts": probe.rows, "texts_cut": probe.truncated, "sha256": digest}


def about_coverage(coverage: Coverage) -> dict[str, Any]:
    """Describe what share of the blocks' weights is covered, and what is left out and why."""
    parts = [{"what": part.what, "share": part.share} for part in coverage.left_out]
    return {"share": coverage.share, "left_out": parts}


def about_modules(plan: RankPlan, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a record a module: what the plan gives it, its score and that score's error."""
    found = {row["module"]: row for row in summary(table).to_dict("records")}
    modules: list[dict[str, Any]] = []
    for module in plan.modules:
        row = found[module.name]
        error = float(row["standard_error"])
        known = None if isnan(error) else error
        modules.append({**asdict(module), "score": row["mean"], "standard_error": known})
    return modules
