"""A finished study's files as summarize and the stages before it leave them, made in a moment.

The numbers hang together (means of drawn values, differences paired by seed), but no model was
trained for them: they are for testing what shows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from scipy import stats as scipy_stats

from adarank.pipeline.files.tables import write_parquet, write_tsv
from adarank.pipeline.files.whole import read_json, write_bytes, write_drawable, write_json

ROOT = Path(__file__).parents[1]
TASK = "questions"
KINDS = {"query": 768, "key": 768, "value": 768, "dense": 768, "up": 1920, "down": 1920}
FOURTEEN = (
    "uniform disagreement linearized weight_gradient gradient_spectrum stable_rank fisher "
    "activation_variance linear_decay empirical reversed permuted permuted_linearized adalora"
).split()
MODEL_SHA = "a" * 64

Cell = dict[str, Any]


@dataclass(frozen=True)
class Fixture:
    """What study to write.

    Attributes:
        strategies: The first is the reference.
        failed: Error text by cell and seed.
        metric: The headline; one that is lower for better is `loss`.
        blocks: The model's.
        labels: How many the task has.
    """

    strategies: Sequence[str] = ("uniform", "disagreement", "permuted")
    budgets: Sequence[float] = (4,)
    seeds: Sequence[int] = (0, 1, 2)
    signals: Sequence[str] = ("disagreement",)
    failed: Mapping[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    metric: str = "accuracy"
    blocks: int = 6
    labels: int = 2
    steps: int = 40
    controls: Mapping[str, str] = field(default_factory=lambda: {"disagreement": "permuted"})

    @property
    def cells(self) -> dict[str, tuple[str, float]]:
        """Strategy and budget by cell."""
        return {f"{s}-{b}": (s, b) for b in self.budgets for s in self.strategies}


def write_study(fixture: Fixture) -> None:
    """Write params.yaml, data/ and metrics/ of a study below the current folder."""
    values = _values(fixture)
    _write_params(fixture)
    _write_sources()
    for cell in fixture.cells:
        _write_plan(fixture, cell)
        _write_curves(fixture, cell)
        _write_measured(fixture, cell, values[cell])
        _write_confusion(fixture, cell)
    for signal in fixture.signals:
        _write_scores(fixture, signal)
    write_json(Path("metrics/summary.json"), summary_of(fixture, values))


def add_task(task: str, plus: float) -> None:
    """Add a task whose values and gains are those of the first, the gains raised by `plus`."""
    path = Path("metrics/summary.json")
    summary = read_json(path)
    summary["tasks"][task] = summary["tasks"][TASK]
    for name, cell in list(summary["cells"].items()):
        summary["cells"][name.replace(TASK, task)] = cell | {"task": task}
    for one in list(summary["comparisons"]):
        summary["comparisons"].append(one | {"task": task, "gain": one["gain"] + plus})
    summary["across"] = _across(summary)
    write_json(path, summary)
    params = YAML(typ="safe").load(Path("params.yaml"))
    params["study"]["tasks"] = list(summary["tasks"])
    params["tasks"][task] = params["tasks"][TASK]
    with Path("params.yaml").open("w") as stream:
        YAML(typ="safe").dump(params, stream)
    for source in (f"data/sources/tasks/{TASK}.json", f"data/tasks/{TASK}/task.json"):
        write_json(Path(source.replace(TASK, task)), read_json(Path(source)))
    for path in Path(f"metrics/cells/{TASK}").glob("*.json"):
        record = read_json(path) | {"cell": f"{task}/{path.stem}", "task": task}
        write_json(Path(f"metrics/cells/{task}") / path.name, record)
    for path in Path(f"metrics/confusion/{TASK}").glob("*.tsv"):
        write_bytes(Path(f"metrics/confusion/{task}") / path.name, path.read_bytes())


def _across(summary: Mapping[str, Any]) -> dict[str, Any]:
    table = []
    for name, cell in summary["cells"].items():
        mean, plan = 100 * cell["metrics"]["accuracy"]["mean"], name.split("/")[1]
        if cell["task"] == TASK:
            means = [{"task": task, "value": mean} for task in summary["tasks"]]
            row = {"strategy": cell["strategy"], "budget": cell["budget"]}
            table.append(row | {"plan": plan, "means": means, "average": mean})
    one = next(c for c in summary["comparisons"] if c["role"] == "reference")
    numbers = dict.fromkeys(("gain", "low", "high", "t_p", "t_p_holm"))
    words = {"verdict": "not distinguishable", "sentence": "On average over 2 tasks: nothing."}
    pair = {"plan": one["cell"], "against": one["against"], "family": "primary", "tasks": []}
    return {"table": table, "compared": [pair | numbers | words | {"unit": "points"}]}


def change_summary(**changed: Any) -> None:
    """Set keys of metrics/summary.json: of the task's part, or of the whole study."""
    path = Path("metrics/summary.json")
    summary = read_json(path)
    for key, value in changed.items():
        (summary["tasks"][TASK] if key in summary["tasks"][TASK] else summary)[key] = value
    write_json(path, summary)


def summary_of(fixture: Fixture, values: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    """Sum drawn values up as metrics/summary.json has them."""
    comparisons = [
        _comparison(fixture, values, cell, against, role) for cell, against, role in _pairs(fixture)
    ]
    count = len(comparisons)
    for one in comparisons:
        size = sum(other["family"] == one["family"] for other in comparisons)
        one["family_size"] = size if one["family"] and one["t_p"] is not None else 0
        tested = one["family"] and one["t_p"] is not None
        one["t_p_holm"] = min(1.0, one["t_p"] * size) if tested else None
        one["verdict"] = _verdict(one, fixture)
        one["sentence"] = _sentence(one, fixture)
    task = {
        "type": "classification",
        "headline": fixture.metric,
        "better": "lower" if fixture.metric == "loss" else "higher",
        "baseline": {"answer": "the commonest label", "value": 0.24, "not_beaten_by": []},
        "verdict": f"Nothing here is better than {fixture.strategies[0]} beyond doubt: of "
        f"{count} comparisons none shows a gain in both tests.",
        "caveats": [
            {"kind": "missing_seeds", "text": f"{c}: seed {s} failed ({e})"}
            for (c, s), e in fixture.failed.items()
        ],
        "costs": ["adalora-4 trains 182,000 parameters, 109.7 % of uniform's"]
        if "adalora-4" in fixture.cells
        else [],
    }
    return {
        "reference": fixture.strategies[0],
        "split": "test",
        "confidence": 0.95,
        "seeds": list(fixture.seeds),
        "verdict": task["verdict"],
        "tasks": {TASK: task},
        "cells": {f"{TASK}/{cell}": _cell(fixture, cell, values[cell]) for cell in fixture.cells},
        "comparisons": [{"task": TASK, **one} for one in comparisons],
        "across": None,
        "reused": 0,
    }


def _values(fixture: Fixture) -> dict[str, dict[int, float]]:
    draw = np.random.default_rng(7)
    luck = {seed: draw.normal(0, 0.006) for seed in fixture.seeds}
    scale = 1.0 if fixture.metric != "loss" else 5.0
    found: dict[str, dict[int, float]] = {}
    for cell, (strategy, budget) in fixture.cells.items():
        worse = 0.04 if strategy in ("reversed", "empirical") else 0.0
        mean = 0.84 + 0.01 * np.log2(float(budget) + 1) + draw.normal(0.0, 0.006) - worse
        drawn = {seed: scale * (mean + luck[seed] + draw.normal(0, 0.004)) for seed in luck}
        found[cell] = {s: float(v) for s, v in drawn.items() if (cell, s) not in fixture.failed}
    return found


def _cell(fixture: Fixture, cell: str, values: Mapping[int, float]) -> Cell:
    strategy, budget = fixture.cells[cell]
    parameters = _parameters(fixture, strategy, float(budget))
    metrics = {}
    if values:
        metrics = {
            fixture.metric: _estimate(list(values.values())),
            "macro_f1": _estimate([v - 0.013 for v in values.values()]),
        }
    return {
        "task": TASK,
        "plan": cell,
        "strategy": strategy,
        "budget": budget,
        "tuner": "adalora" if strategy == "adalora" else "lora",
        "trainable_parameters": parameters,
        "peak_parameters": int(parameters * 1.5) if strategy == "adalora" else parameters,
        "head_parameters": 2310,
        "learning_rate": 0.001,
        "tuned": strategy != "uniform",
        "n": len(values),
        "failed": [{"seed": s, "error": e} for (c, s), e in fixture.failed.items() if c == cell],
        "metrics": metrics,
    }


def _parameters(fixture: Fixture, strategy: str, budget: float) -> int:
    exact = int(budget * fixture.blocks * sum(KINDS.values()))
    return int(exact * 1.097) if strategy == "adalora" else exact


def _estimate(values: Sequence[float]) -> dict[str, Any]:
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return {"n": 1, "mean": mean, "sd": None, "low": None, "high": None}
    sd = float(np.std(values, ddof=1))
    half = float(scipy_stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def _pairs(fixture: Fixture) -> list[tuple[str, str, str]]:
    first, *others = fixture.strategies
    found: list[tuple[str, str, str]] = []
    for budget in fixture.budgets:
        found += [(f"{s}-{budget}", f"{first}-{budget}", "reference") for s in others]
        found += [
            (f"{s}-{budget}", f"{control}-{budget}", "control")
            for s, control in fixture.controls.items()
            if {s, control} <= set(fixture.strategies)
        ]
    return found


def _comparison(
    fixture: Fixture, values: Mapping[str, Mapping[int, float]], cell: str, against: str, role: str
) -> dict[str, Any]:
    shared = sorted(values[cell].keys() & values[against].keys())
    differences = [values[cell][seed] - values[against][seed] for seed in shared]
    one = _estimate(differences) if differences else dict.fromkeys(("mean", "low", "high"))
    many = len(differences) > 1
    sign = -1 if fixture.metric == "loss" else 1
    strategy, budget = fixture.cells[cell]
    return {
        "cell": cell,
        "against": against,
        "strategy": strategy,
        "budget": budget,
        "role": role,
        "family": _family(strategy, role),
        "metric": fixture.metric,
        "n": len(differences),
        "difference": one["mean"],
        "low": one["low"],
        "high": one["high"],
        "p": 2.0 ** (1 - len(differences)) if many else None,
        "p_floor": 2.0 ** (1 - len(differences)) if many else None,
        "t_p": float(scipy_stats.ttest_1samp(differences, 0).pvalue) if many else None,
        "rows_low": one["low"] - 0.002 if many else None,
        "rows_high": one["high"] + 0.003 if many else None,
        "detectable": 3.0 * one["sd"] / len(differences) ** 0.5 if many else None,
        "gain": None if one["mean"] is None else sign * one["mean"],
    }


def _family(strategy: str, role: str) -> str | None:
    if role == "control":
        return "secondary"
    return None if strategy.split("_")[0] in ("permuted", "reversed") else "primary"


def _verdict(one: Mapping[str, Any], fixture: Fixture) -> str:
    if one["family"] is None:
        return "not tested"
    if {one["cell"], one["against"]} & {cell for cell, _ in fixture.failed}:
        return "not comparable"
    if one["t_p_holm"] is None or one["t_p_holm"] > 0.05:
        return "not distinguishable"
    return "better" if one["gain"] > 0 else "worse"


def _sentence(one: Mapping[str, Any], fixture: Fixture) -> str:
    said = f"{one['cell']} is {one['verdict']} than {one['against']}"
    if one["verdict"].startswith("not"):
        said = f"{one['cell']} and {one['against']}: {one['verdict']}"
    if one["difference"] is None:
        return f"{said} on {fixture.metric}: no seed finished in both."
    return (
        f"{said} on {fixture.metric}: {100 * one['difference']:+.2f} points over {one['n']} seeds "
        f"(sign flips cannot fall below {one['p_floor'] or 1:.4g} at this n)."
    )


def _write_params(fixture: Fixture) -> None:
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    params["study"] |= {
        "strategies": list(fixture.strategies),
        "budgets": list(fixture.budgets),
        "seeds": list(fixture.seeds),
        "signals": list(fixture.signals),
        "reference": fixture.strategies[0],
    }
    with Path("params.yaml").open("w") as stream:
        YAML(typ="safe").dump(params, stream)


def _write_sources() -> None:
    write_bytes(Path("data/model/config.json"), b'{"model_type": "bert"}\n')
    record = {"source": "pypi:some-model==1.0/model", "revision": "1.0"}
    write_json(
        Path("data/sources/model.json"), record | {"sha256": {"model.safetensors": "b" * 64}}
    )
    data = {"source": "hf:org/questions@abc", "revision": "abc"}
    write_json(Path("data/sources/tasks/questions.json"), data | {"sha256": {}})
    note = {
        "type": "classification",
        "labels": ["no", "yes"],
        "rows": {"train": 5452, "validation": 545, "test": 500},
        "dropped": {"train": {"an empty text": 3}},
        "sha256": {f"{split}.parquet": "c" * 64 for split in ("train", "validation", "test")},
    }
    write_json(Path("data/tasks/questions/task.json"), note | data)


def _write_plan(fixture: Fixture, cell: str) -> None:
    strategy, budget = fixture.cells[cell]
    draw = np.random.default_rng(sum(map(ord, cell)))
    modules = []
    for block in range(fixture.blocks):
        for kind, per_rank in sorted(KINDS.items(), key=lambda one: f"layer.{one[0]}"):
            rank = int(draw.poisson(float(budget)))
            rank = round(float(budget)) if strategy == "uniform" else rank
            row = {"name": f"encoder.layer.{block}.{kind}", "block": block, "kind": kind}
            modules.append(
                row | {"rank": rank, "alpha": float(rank), "parameters": rank * per_rank}
            )
    plan = {
        "schema": 1,
        "strategy": strategy,
        "budget": float(budget),
        "unit": "average_rank",
        "parameters": sum(module["parameters"] for module in modules),
        "model_sha256": MODEL_SHA,
        "scale": {"policy": "ratio", "value": 1.0},
        "modules": modules,
        "tuner": "lora",
    }
    write_json(Path(f"data/plans/{cell}/{TASK}.json"), plan)


def _write_curves(fixture: Fixture, cell: str) -> None:
    draw = np.random.default_rng(sum(map(ord, cell)))
    for seed in fixture.seeds:
        if (cell, seed) in fixture.failed:
            continue
        steps = np.arange(1, fixture.steps + 1)
        fall = np.exp(-steps / (fixture.steps / 3))
        looked = steps % max(1, fixture.steps // 5) == 0
        curve = pd.DataFrame(
            {
                "step": steps,
                "learning_rate": 1e-3 * (1 - steps / fixture.steps),
                "train_loss": 0.3 + 1.4 * fall + draw.normal(0, 0.05, len(steps)),
                "gradient_norm": 1.0,
                "effective_rank": np.where(looked, 1 + 2 * steps / fixture.steps, np.nan),
                "validation_loss": np.where(looked, 0.4 + 1.3 * fall, np.nan),
                "validation_accuracy": np.where(looked, 0.88 - 0.5 * fall, np.nan),
            }
        )
        write_tsv(Path(f"data/curves/{TASK}/{cell}/seed-{seed}.tsv"), curve)


def _write_measured(fixture: Fixture, cell: str, values: Mapping[int, float]) -> None:
    """Write what evaluate records of a cell: each seed's headline value, on test and validation."""
    known = _cell(fixture, cell, values)
    rows = [
        {"seed": seed, "split": split, "n": 500, "headline": value - less, fixture.metric: value}
        for seed, value in values.items()
        for split, less in (("validation", 0.02), ("test", 0.0))
    ]
    record = {name: known[name] for name in ("task", "strategy", "budget", "tuner", "failed")}
    record |= {name: known[name] for name in known if name.endswith("_parameters")}
    better = "lower" if fixture.metric == "loss" else "higher"
    write_drawable(
        Path(f"metrics/cells/{TASK}/{cell}.json"),
        record
        | {"cell": f"{TASK}/{cell}", "headline": fixture.metric, "better": better, "tuned": []}
        | {"learning_rate": 0.001, "seeds": rows, "gap": []},
    )


def _write_confusion(fixture: Fixture, cell: str) -> None:
    """Write 200 predictions of each label, most of them right, errors among near labels."""
    draw = np.random.default_rng(sum(map(ord, cell)))
    names = ["no", "yes"] if fixture.labels == 2 else [f"K{i:02}" for i in range(fixture.labels)]
    actual = np.repeat(np.arange(fixture.labels), 200)
    off = np.where(draw.random(len(actual)) < 0.15, draw.geometric(0.5, len(actual)), 0)
    predicted = (actual + off) % fixture.labels
    table = {"actual": [names[i] for i in actual], "predicted": [names[i] for i in predicted]}
    write_tsv(Path(f"metrics/confusion/{TASK}/{cell}.tsv"), pd.DataFrame(table))


def _write_scores(fixture: Fixture, signal: str) -> None:
    draw = np.random.default_rng(len(signal))
    error = None if signal == "gradient_spectrum" else 2e-4
    rows = []
    for block in range(fixture.blocks):
        for at, kind in enumerate(KINDS):
            mean = (1 + at) * 0.002 * 1.3**block + draw.normal(0, 1e-4)
            row = {"module": f"encoder.layer.{block}.{kind}", "block": block, "kind": kind}
            ends = {"low": mean - 1.96 * (error or 0), "high": mean + 1.96 * (error or 0)}
            rows.append(row | {"mean": mean, "standard_error": error} | ends)
    write_json(Path(f"metrics/scores/model/{signal}.json"), {"estimator": "exact", "modules": rows})
    write_parquet(Path(f"data/scores/model/{signal}.parquet"), pd.DataFrame(rows))


def write_timings(fixture: Fixture) -> None:
    """Write timings/ of a study as finetune and score leave them."""
    for cell in fixture.cells:
        record = {"seconds": 61.2, "peak_mib": 1234.5, "host": "somewhere", "cores": 2, "load": 1.2}
        extra = {"training_seconds": 44.0, "tokens": 120000, "tokens_per_second": 2727.3, "runs": 4}
        write_json(Path(f"timings/finetune-{TASK}-{cell}.json"), record | extra)
    for signal in fixture.signals:
        record = {"seconds": 12.0, "peak_mib": 900.0, "host": "somewhere"}
        write_json(Path(f"timings/score-{signal}.json"), record)


def full_study() -> Fixture:
    """Fourteen strategies at two budgets with five seeds; two seeds of a cell diverged."""
    error = "step 3, output of module encoder.layer.0.attention.self.query: training has become "
    return Fixture(
        strategies=FOURTEEN,
        budgets=(0.5, 4),
        seeds=(0, 1, 2, 3, 4),
        signals=("disagreement", "linearized", "gradient_spectrum"),
        failed={("empirical-4", s): f"{error}non-finite" for s in (1, 3)}
        | {("stable_rank-0.5", s): f"{error}non-finite" for s in range(5)},
        steps=600,
        controls={"disagreement": "permuted", "linearized": "permuted_linearized"},
    )
