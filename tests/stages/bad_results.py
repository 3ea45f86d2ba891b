"""Bad inputs: plans, adapters and measurements, absent, torn or of another form."""

import pandas as pd
from safetensors.torch import load_file, save_file

from tests.stages.spoil import (
    Case,
    both,
    cut,
    entry,
    file_there,
    folder,
    gone,
    no_entry,
    param,
    write,
)

FINETUNE = "finetune --task questions --strategy uniform --budget 2"
EVALUATE = "evaluate --task questions --strategy uniform --budget 2"
SUMMARIZE, SHOW = "summarize", "summarize --show"

MODEL = "data/model"
PLAN = "data/plans/uniform-2/questions.json"
SEED = "data/adapters/questions/uniform-2/seed-0"
TRAINED, ADAPTER = f"{SEED}/trained.json", f"{SEED}/adapter_model.safetensors"
FAILED = f"{SEED}/failed.json"
FAILURE = '{"parameters": 1, "head_parameters": 1, "learning_rate": 0.1}'
ADAPTER_CONFIG = f"{SEED}/adapter_config.json"
RATES = "data/adapters/questions/uniform-2/learning_rates.json"
CELL, SUMMARY = "metrics/cells/questions/uniform-2.json", "metrics/summary.json"
INF, NAN = float("inf"), float("nan")


def head(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.head(0)


PLANS = [
    Case("no plan", FINETUNE, gone(PLAN), PLAN),
    Case("no plan to evaluate", EVALUATE, gone(PLAN), PLAN),
    Case("a plan a folder", FINETUNE, folder(PLAN), PLAN),
    Case("a plan torn", FINETUNE, cut(PLAN), PLAN),
    Case("a plan empty", FINETUNE, write(PLAN, ""), PLAN),
    Case("a plan a list", FINETUNE, write(PLAN, "[]"), PLAN),
    Case("a plan null", FINETUNE, write(PLAN, "null"), PLAN),
    Case("a plan too deep", FINETUNE, write(PLAN, "[" * 100_000), PLAN),
    Case("a plan in latin-1", FINETUNE, write(PLAN, b'{"strategy": "caf\xe9"}'), PLAN),
    Case("a plan of another schema", FINETUNE, entry(PLAN, "schema", 2), f"{PLAN}|schema"),
    Case("a plan with an unknown key", FINETUNE, entry(PLAN, "seed", 2), f"{PLAN}|seed"),
    Case("a plan without a key", FINETUNE, no_entry(PLAN, "scale"), f"{PLAN}|scale"),
    Case("a plan with nan", FINETUNE, entry(PLAN, "modules.0.alpha", NAN), f"{PLAN}|alpha"),
    Case("a plan with a negative rank", FINETUNE, entry(PLAN, "modules.0.rank", -1), PLAN),
    Case("a plan with a fraction for a rank", FINETUNE, entry(PLAN, "modules.0.rank", 1.5), PLAN),
    Case("a plan with another rank", FINETUNE, entry(PLAN, "modules.0.rank", 3), f"{PLAN}|alpha"),
    Case("a plan with another sum", FINETUNE, entry(PLAN, "parameters", 7), f"{PLAN}|parameters|7"),
    Case("a plan with an infinite scale", FINETUNE, entry(PLAN, "scale.value", INF), PLAN),
    Case("a plan with a huge scale", FINETUNE, entry(PLAN, "scale.value", 10**400), PLAN),
    Case("a plan of a tuner unknown", FINETUNE, entry(PLAN, "tuner", "dora"), f"{PLAN}|tuner"),
    Case(
        "a plan of modules the model lacks",
        FINETUNE,
        entry(PLAN, "modules.0.name", "encoder.layer.0.attention.aaa"),
        "attention.aaa",
    ),
    Case(
        "a plan of no modules",
        FINETUNE,
        both(entry(PLAN, "modules", []), entry(PLAN, "parameters", 0)),
        "uniform",
    ),
    Case("a plan of another cell", FINETUNE, entry(PLAN, "strategy", "disagreement"), PLAN),
    Case("a plan of another budget", EVALUATE, entry(PLAN, "budget", 3.0), PLAN),
    Case("adapters a file", FINETUNE, file_there("data/adapters"), "data/adapters"),
    Case("curves a file", FINETUNE, file_there("data/curves"), "data/curves"),
]


ADAPTERS = [
    Case("no adapters", EVALUATE, gone("data/adapters"), "uniform-2/seed-0"),
    Case("a seed not trained", EVALUATE, param("study.seeds", [0, 1]), "seed-1"),
    Case("no record of training", EVALUATE, gone(TRAINED), "trained.json"),
    Case("a record torn", EVALUATE, cut(TRAINED), TRAINED),
    Case("a record a list", EVALUATE, write(TRAINED, "[]"), TRAINED),
    Case("a record without ranks", EVALUATE, no_entry(TRAINED, "ranks"), f"{TRAINED}|ranks"),
    Case("a record of words", EVALUATE, entry(TRAINED, "peak_parameters", "many"), TRAINED),
    Case("no weights of an adapter", EVALUATE, gone(ADAPTER), ADAPTER),
    Case("weights of an adapter torn", EVALUATE, cut(ADAPTER), ADAPTER),
    Case("weights of an adapter empty", EVALUATE, write(ADAPTER, ""), ADAPTER),
    Case("weights of an adapter a folder", EVALUATE, folder(ADAPTER), ADAPTER),
    Case("an adapter's config torn", EVALUATE, cut(ADAPTER_CONFIG), ADAPTER_CONFIG),
    Case("an adapter's config a list", EVALUATE, write(ADAPTER_CONFIG, "[]"), SEED),
    Case("an adapter's config empty", EVALUATE, write(ADAPTER_CONFIG, "{}"), SEED),
    Case("an adapter's config gone", EVALUATE, gone(ADAPTER_CONFIG), ADAPTER_CONFIG),
    Case(
        "an adapter of other ranks",
        EVALUATE.replace("uniform", "disagreement"),
        entry(ADAPTER_CONFIG.replace("uniform", "disagreement"), "rank_pattern", {}),
        "seed-0",
    ),
    Case(
        "an adapter of other weights",
        EVALUATE,
        lambda: save_file(
            {name: t.T.contiguous() for name, t in load_file(ADAPTER).items()}, ADAPTER
        ),
        ADAPTER,
    ),
    Case(
        "an adapter of nan weights",
        EVALUATE,
        lambda: save_file({name: t * NAN for name, t in load_file(ADAPTER).items()}, ADAPTER),
        SEED,
    ),
    Case("a record of other parameters", EVALUATE, entry(TRAINED, "parameters", 7), f"{SEED}|7"),
    Case("a failure torn", EVALUATE, write(FAILED, "{"), FAILED),
    Case("a failure a list", EVALUATE, write(FAILED, "[]"), FAILED),
    Case("a failure of no reason", EVALUATE, write(FAILED, FAILURE), f"{FAILED}|error"),
    Case("no learning rates", EVALUATE, gone(RATES), RATES),
    Case("learning rates a list", EVALUATE, write(RATES, "[]"), RATES),
    Case("learning rates of another form", EVALUATE, no_entry(RATES, "tried"), f"{RATES}|tried"),
    Case("predictions a file", EVALUATE, file_there("data/predictions"), "data/predictions"),
    Case("cells a file", EVALUATE, file_there("metrics/cells"), "metrics/cells"),
]


METRICS = [
    Case("no cells", SUMMARIZE, gone("metrics/cells"), "metrics/cells"),
    Case("a cell not evaluated", SUMMARIZE, gone(CELL), "uniform-2"),
    Case("a cell torn", SUMMARIZE, cut(CELL), CELL),
    Case("a cell a list", SUMMARIZE, write(CELL, "[]"), CELL),
    Case("a cell a folder", SUMMARIZE, folder(CELL), CELL),
    Case("a cell of no seeds", SUMMARIZE, entry(CELL, "seeds", []), f"{CELL}|seeds"),
    Case("a cell of null seeds", SUMMARIZE, entry(CELL, "seeds", None), f"{CELL}|seeds"),
    Case("a cell of wordy failures", SUMMARIZE, entry(CELL, "failed", ["x"]), f"{CELL}|failed"),
    Case("a cell of no head", SUMMARIZE, no_entry(CELL, "head_parameters"), f"{CELL}|head"),
    Case("no cell to choose from", "best", gone(CELL), CELL),
    Case("a cell torn before the choice", "best", cut(CELL), CELL),
    Case("a cell of no seeds before the choice", "best", entry(CELL, "seeds", []), f"{CELL}|seeds"),
    Case("a cell without its headline", SUMMARIZE, no_entry(CELL, "headline"), f"{CELL}|headline"),
    Case(
        "a cell of another headline", SUMMARIZE, entry(CELL, "headline", "loss"), "different tasks"
    ),
    Case(
        "a cell of words for parameters", SUMMARIZE, entry(CELL, "trainable_parameters", "x"), CELL
    ),
    Case("a cell of words for seeds", SUMMARIZE, entry(CELL, "seeds.0.seed", "one"), CELL),
    Case("a cell of a wordy metric", SUMMARIZE, entry(CELL, "seeds.0.accuracy", "good"), CELL),
    Case("a cell of a nan metric", SUMMARIZE, entry(CELL, "seeds.0.accuracy", NAN), CELL),
    Case(
        "a cell of another cell", SUMMARIZE, entry(CELL, "cell", "questions/disagreement-2"), CELL
    ),
    Case("no summary", SHOW, gone(SUMMARY), SUMMARY),
    Case("a summary torn", SHOW, cut(SUMMARY), SUMMARY),
    Case("a summary a list", SHOW, write(SUMMARY, "[]"), SUMMARY),
    Case("a summary empty", SHOW, write(SUMMARY, "{}"), SUMMARY),
    Case(
        "a summary of a numeric verdict", SHOW, entry(SUMMARY, "verdict", 3), f"{SUMMARY}|verdict"
    ),
    Case("a summary without comparisons", SHOW, no_entry(SUMMARY, "comparisons"), "comparisons"),
    Case("a summary of words for costs", SHOW, entry(SUMMARY, "tasks.questions.costs", 3), SUMMARY),
    Case(
        "a summary of a cell of words",
        SHOW,
        entry(SUMMARY, "cells.questions/uniform-2.metrics.accuracy.mean", "good"),
        SUMMARY,
    ),
]

CASES = [*PLANS, *ADAPTERS, *METRICS]
