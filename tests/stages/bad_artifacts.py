"""Bad inputs: models, datasets and scores as earlier stages left them, torn or changed."""

import pandas as pd

from tests.stages.spoil import (
    Case,
    Spoil,
    both,
    column,
    cut,
    entry,
    file_there,
    folder,
    gone,
    no_entry,
    param,
    table,
    write,
)

SCORE = "score --signal disagreement"
TASK = "score_task --task questions --signal weight_gradient"
ALLOCATE = "allocate --strategy disagreement --budget 2"
FINETUNE = "finetune --task questions --strategy uniform --budget 2"
EVALUATE = "evaluate --task questions --strategy uniform --budget 2"

MODEL = "data/model"
WEIGHTS, CONFIG = f"{MODEL}/model.safetensors", f"{MODEL}/config.json"
SCORES, PLAN = "data/scores/model/disagreement.parquet", "data/plans/uniform-2/questions.json"
NOTE, TRAIN = "data/tasks/questions/task.json", "data/tasks/questions/train.parquet"
INF, NAN = float("inf"), float("nan")


def replan(spoil: Spoil) -> Spoil:
    """Spoil the model and let the plan be of it, so that not its hash is what is told."""

    def whole() -> None:
        from pathlib import Path

        from adarank.pipeline.files.whole import folder_sha256

        spoil()
        entry(PLAN, "model_sha256", folder_sha256(Path(MODEL)))()

    return whole


def head(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.head(0)


MODELS = [
    Case("no model to score", SCORE, gone(MODEL), "data/model"),
    Case("no model to score by the task", TASK, gone(MODEL), "data/model"),
    Case("no model to train", FINETUNE, gone(MODEL), "data/model"),
    Case("no model to evaluate", EVALUATE, gone(MODEL), "data/model"),
    Case("a model a file", SCORE, file_there(MODEL), "data/model"),
    Case("a model's weights torn", SCORE, cut(WEIGHTS), "data/model"),
    Case("a model's weights torn for a signal", TASK, cut(WEIGHTS), "data/model"),
    Case("a model's config torn", SCORE, cut(CONFIG), "data/model"),
    Case("a model's config a list", SCORE, write(CONFIG, "[]"), "data/model"),
    Case("a model's config of no type", SCORE, write(CONFIG, "{}"), "data/model"),
    Case("a model's config of another size", SCORE, entry(CONFIG, "hidden_size", 64), "data/model"),
    Case("a model's config of words", SCORE, entry(CONFIG, "hidden_size", "wide"), "data/model"),
    Case(
        "a model's config of no heads", SCORE, entry(CONFIG, "num_attention_heads", 0), "data/model"
    ),
    Case(
        "a model's config of more blocks",
        SCORE,
        entry(CONFIG, "num_hidden_layers", 3),
        "data/model",
    ),
    Case("a model's tokenizer torn", SCORE, cut(f"{MODEL}/tokenizer.json"), "data/model"),
    Case(
        "a model's tokenizer torn for training",
        FINETUNE,
        replan(cut(f"{MODEL}/tokenizer.json")),
        "data/model",
    ),
    Case(
        "a model's tokenizer gone",
        TASK,
        both(gone(f"{MODEL}/tokenizer.json"), gone(f"{MODEL}/tokenizer_config.json")),
        "data/model",
    ),
    Case("a model's config torn for training", FINETUNE, replan(cut(CONFIG)), "data/model"),
    Case("a model's weights torn for training", FINETUNE, replan(cut(WEIGHTS)), "data/model"),
    Case(
        "a model that changed",
        FINETUNE,
        entry(CONFIG, "added", 1),
        "uniform-2/questions.json|another model",
    ),
    Case("a model that changed before evaluation", EVALUATE, entry(CONFIG, "added", 1), "another"),
]


TABLES = [
    Case("no scores", ALLOCATE, gone("data/scores"), "data/scores"),
    Case("scores a file", ALLOCATE, file_there("data/scores"), "data/scores"),
    Case("no score of this signal", ALLOCATE, gone(SCORES), "disagreement|data/scores"),
    Case("scores torn", ALLOCATE, cut(SCORES), SCORES),
    Case("scores empty", ALLOCATE, write(SCORES, ""), SCORES),
    Case("scores no parquet", ALLOCATE, write(SCORES, "module,score\na,1\n"), SCORES),
    Case("scores a folder", ALLOCATE, folder(SCORES), SCORES),
    Case("scores of no rows", ALLOCATE, table(SCORES, head), f"{SCORES}|no rows"),
    Case(
        "scores without a column", ALLOCATE, table(SCORES, lambda t: t.drop(columns="d_in")), "d_in"
    ),
    Case("scores of words", ALLOCATE, column(SCORES, "score", "high"), f"{SCORES}|score"),
    Case("a score nan", ALLOCATE, column(SCORES, "score", NAN, 3), f"{SCORES}|finite"),
    Case("a score infinite", ALLOCATE, column(SCORES, "score", INF, 3), f"{SCORES}|finite"),
    Case("a score negative", ALLOCATE, column(SCORES, "score", -1.0, 3), f"{SCORES}|negative"),
    Case("scores all zero", ALLOCATE, column(SCORES, "score", 0.0), "disagreement"),
    Case("scores all equal", ALLOCATE, column(SCORES, "score", 1.0), "disagreement|same"),
    Case(
        "scores whose mean overflows",
        ALLOCATE,
        table(
            SCORES,
            lambda t: pd.concat(
                [t.assign(score=1.7e308), t.assign(score=1.7e308, trial=t["trial"] + 1)]
            ),
        ),
        "disagreement",
    ),
    Case("a module without a name", ALLOCATE, column(SCORES, "module", "", 0), f"{SCORES}|module"),
    Case("a module null", ALLOCATE, column(SCORES, "module", None, 0), f"{SCORES}|module"),
    Case("a module twice", ALLOCATE, table(SCORES, lambda t: pd.concat([t, t])), f"{SCORES}|twice"),
    Case("blocks negative", ALLOCATE, column(SCORES, "block", -1), f"{SCORES}|block"),
    Case("a block far away", ALLOCATE, column(SCORES, "block", 2**62, 0), f"{SCORES}|block"),
    Case("blocks of fractions", ALLOCATE, column(SCORES, "block", 0.5), f"{SCORES}|block"),
    Case("a module of no width", ALLOCATE, column(SCORES, "d_in", 0, 0), f"{SCORES}|dimension"),
    Case("a module of another cost", ALLOCATE, column(SCORES, "parameters_per_rank", 1, 0), "d_in"),
    Case(
        "modules of huge sizes",
        ALLOCATE,
        table(SCORES, lambda t: t.assign(d_in=2**61, d_out=2**61, parameters_per_rank=2**62)),
        SCORES,
    ),
    Case(
        "modules whose cost overflows",
        ALLOCATE,
        table(SCORES, lambda t: t.assign(d_in=2**62, d_out=2**62, parameters_per_rank=-(2**63))),
        SCORES,
    ),
    Case("scores of no model", ALLOCATE, table(SCORES, lambda t: t, model_sha256=None), SCORES),
    Case(
        "scores of two models",
        "allocate --strategy both --budget 2",
        both(
            table(SCORES, lambda t: t, model_sha256="0" * 64),
            param("strategies", {"both": {"combined": {"disagreement": 1, "weight_gradient": 1}}}),
        ),
        "different models",
    ),
    Case(
        "scores of other modules",
        "allocate --strategy both --budget 2",
        both(
            table(SCORES, lambda t: t.iloc[1:]),
            param("strategies", {"both": {"combined": {"disagreement": 1, "weight_gradient": 1}}}),
        ),
        "different modules",
    ),
    Case("plans a file", ALLOCATE, file_there("data/plans"), "data/plans"),
    Case(
        "plans below a file",
        ALLOCATE,
        file_there("data/plans"),
        "data/plans",
    ),
]


DATASETS = [
    Case("no dataset to train on", FINETUNE, gone("data/tasks/questions"), "data/tasks/questions"),
    Case(
        "no dataset to evaluate on", EVALUATE, gone("data/tasks/questions"), "data/tasks/questions"
    ),
    Case("a dataset undescribed", FINETUNE, gone(NOTE), NOTE),
    Case("a description torn", FINETUNE, cut(NOTE), NOTE),
    Case("a description a list", FINETUNE, write(NOTE, "[]"), NOTE),
    Case("a description of no labels", FINETUNE, no_entry(NOTE, "labels"), f"{NOTE}|labels"),
    Case(
        "a description of numbers for labels", FINETUNE, entry(NOTE, "labels", 3), f"{NOTE}|labels"
    ),
    Case("a description of one label", FINETUNE, entry(NOTE, "labels", ["a"]), f"{NOTE}|labels"),
    Case("a description of a task unknown", TASK, entry(NOTE, "type", "magic"), "type|magic"),
    Case("a description of a listed task", TASK, entry(NOTE, "type", []), "type"),
    Case("no train rows", FINETUNE, table(TRAIN, head), f"{TRAIN}|rows"),
    Case("train rows torn", FINETUNE, cut(TRAIN), TRAIN),
    Case(
        "train rows without text", FINETUNE, table(TRAIN, lambda t: t.drop(columns="text")), "text"
    ),
    Case(
        "train rows without label", TASK, table(TRAIN, lambda t: t.drop(columns="label")), "label"
    ),
    Case("train texts numbers", FINETUNE, column(TRAIN, "text", 5), f"{TRAIN}|text"),
    Case("a train text null", FINETUNE, column(TRAIN, "text", None, 0), f"{TRAIN}|text"),
    Case("a train label too high", FINETUNE, column(TRAIN, "label", 3, 0), f"{TRAIN}|label"),
    Case("a train label negative", TASK, column(TRAIN, "label", -1, 0), f"{TRAIN}|label"),
    Case("a train label nan", FINETUNE, column(TRAIN, "label", NAN, 0), f"{TRAIN}|label"),
    Case("train labels words", FINETUNE, column(TRAIN, "label", "who"), f"{TRAIN}|label"),
    Case(
        "a test label too high",
        EVALUATE,
        column("data/tasks/questions/test.parquet", "label", 9, 0),
        "label",
    ),
]

CASES = [*MODELS, *TABLES, *DATASETS]
