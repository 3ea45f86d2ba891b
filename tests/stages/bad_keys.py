"""Bad inputs: keys of scoring, allocation and training."""

from tests.stages.spoil import (
    Case,
    both,
    folder,
    param,
    write,
)

SCORE = "score --signal disagreement"
TASK = "score_task --task questions --signal weight_gradient"
ALLOCATE = "allocate --strategy disagreement --budget 2"
FINETUNE = "finetune --task questions --strategy uniform --budget 2"
EVALUATE = "evaluate --task questions --strategy uniform --budget 2"
MINE = "allocate --strategy mine --budget 2"
INF, NAN = float("inf"), float("nan")

SCORING = [
    Case("score key unknown", SCORE, param("score.trails", 5), "score.trails|trials"),
    Case("trials zero", SCORE, param("score.trials", 0), "score.trials|0"),
    Case("trials a word", SCORE, param("score.trials", "five"), "score.trials|five"),
    Case("trials true", SCORE, param("score.trials", True), "score.trials|True"),
    Case("trials null", SCORE, param("score.trials", None), "score.trials|null"),
    Case("estimator unknown", SCORE, param("score.estimator", "guess"), "score.estimator|guess"),
    Case("noise nan", SCORE, param("score.noise.scale", NAN), "score.noise.scale|nan"),
    Case("noise infinite", SCORE, param("score.noise.scale", INF), "score.noise.scale|inf"),
    Case("noise zero", SCORE, param("score.noise.scale", 0.0), "score.noise.scale"),
    Case("memory infinite", SCORE, param("score.memory_gb", INF), "score.memory_gb|inf"),
    Case("modules empty", SCORE, param("score.modules", []), "score.modules"),
    Case("modules of no such kind", SCORE, param("score.modules", ["quary"]), "quary|query"),
    Case("logits of no head", SCORE, param("score.output", "logits"), "score.output|no head"),
    Case("device unknown", SCORE, param("score.device", "abacus"), "score.device|abacus"),
    Case("device absent", SCORE, param("score.device", "cuda:99"), "device|cuda:99"),
    Case("score seed huge", SCORE, param("score.seed", 10**30), "score.seed"),
    Case("probe absent", SCORE, param("probe.source", "no/probe.txt"), "probe.source|no/probe.txt"),
    Case("probe a folder", SCORE, param("probe.source", "source"), "probe.source"),
    Case("probe a folder named as a text", SCORE, folder("source/probe.txt"), "source/probe.txt"),
    Case("probe of another kind", SCORE, param("probe.source", "source/train.csv"), "probe.source"),
    Case("probe empty", SCORE, write("source/probe.txt", "\n\n"), "probe.rows"),
    Case("probe not utf-8", SCORE, write("source/probe.txt", b"caf\xe9\n" * 9), "probe.source"),
    Case("probe too short", SCORE, param("probe.rows", 7), "probe.rows|7|6"),
    Case("probe rows huge", SCORE, param("probe.rows", 10**30), "probe.rows"),
    Case(
        "probe a table of other columns",
        SCORE,
        param("probe.source", "data/predictions/questions/uniform-2.parquet"),
        "probe.source|text",
    ),
    Case(
        "probe a table that is none",
        SCORE,
        both(write("p.parquet", "no"), param("probe.source", "p.parquet")),
        "p.parquet",
    ),
    Case("probe path with a nul", SCORE, param("probe.source", "a\0b.txt"), "probe.source"),
    Case("signal rows over train's", TASK, param("signal.rows", 25), "signal.rows|25|24"),
    Case("signal rows zero", TASK, param("signal.rows", 0), "signal.rows"),
    Case("warm-up rate too high", TASK, param("signal.warmup_learning_rate", 5.0), "warmup_learn"),
    Case("signal seed negative", TASK, param("signal.seed", -1), "signal.seed"),
    Case("signal seed huge", TASK, param("signal.seed", 10**30), "signal.seed"),
]


ALLOCATION = [
    Case("rounding unknown", ALLOCATE, param("allocate.rounding", "up"), "allocate.rounding|up"),
    Case("min_rank negative", ALLOCATE, param("allocate.min_rank", -1), "allocate.min_rank"),
    Case("min_rank over a module's size", ALLOCATE, param("allocate.min_rank", 33), "min_rank|32"),
    Case("min_rank huge", ALLOCATE, param("allocate.min_rank", 10**30), "min_rank"),
    Case(
        "max_rank below min_rank",
        ALLOCATE,
        both(param("allocate.min_rank", 3), param("allocate.max_rank", 2)),
        "max_rank|min_rank",
    ),
    Case("max_rank huge", ALLOCATE, param("allocate.max_rank", 10**30), "max_rank"),
    Case("scale nan", ALLOCATE, param("allocate.scale.value", NAN), "allocate.scale.value"),
    Case("scale negative", ALLOCATE, param("allocate.scale.value", -1.0), "allocate.scale.value"),
    Case("scale that overflows", ALLOCATE, param("allocate.scale.value", 1e308), "scale.value"),
    Case(
        "permuted with a huge seed",
        "allocate --strategy permuted --budget 2",
        param("allocate.seed", 10**400),
        "allocate.seed",
    ),
    Case(
        "custom of too few blocks",
        MINE,
        param("strategies", {"mine": {"custom": {"layer_ranks": [1]}}}),
        "strategies.mine|2",
    ),
    Case(
        "custom all zero",
        MINE,
        param("strategies", {"mine": {"custom": {"layer_ranks": [0, 0]}}}),
        "mine|zero",
    ),
    Case(
        "custom huge",
        MINE,
        param("strategies", {"mine": {"custom": {"layer_ranks": [10**400, 1]}}}),
        "strategies.mine",
    ),
    Case(
        "literal custom too high",
        "allocate --strategy literal_mine --budget 2",
        param("strategies", {"mine": {"custom": {"layer_ranks": [1, 99]}}}),
        "literal_mine|99",
    ),
    Case(
        "literal custom huge",
        "allocate --strategy literal_mine --budget 2",
        param("strategies", {"mine": {"custom": {"layer_ranks": [1, 10**30]}}}),
        "mine",
    ),
    Case(
        "explicit of too few lists",
        MINE,
        param("strategies", {"mine": {"explicit": "1,2 3,4"}}),
        "strategies.mine|query",
    ),
    Case(
        "explicit of words",
        MINE,
        param("strategies", {"mine": {"explicit": {"query": "one,two"}}}),
        "strategies.mine|one",
    ),
    Case(
        "explicit huge",
        MINE,
        param("strategies", {"mine": {"explicit": {"query": "9" * 400 + ",1"}}}),
        "strategies.mine",
    ),
    Case(
        "explicit of superscripts",
        MINE,
        param("strategies", {"mine": {"explicit": {"query": "²,1"}}}),
        "strategies.mine|²",
    ),
    Case(
        "explicit of no such kind",
        MINE,
        param("strategies", {"mine": {"explicit": {"qwery": [1, 2]}}}),
        "qwery|query",
    ),
    Case(
        "combined beyond floats",
        MINE,
        param("strategies", {"mine": {"combined": {"uniform": 10**400}}}),
        "strategies.mine",
    ),
    Case("combined of nothing", MINE, param("strategies", {"mine": {"combined": {}}}), "mine"),
    Case(
        "combined of itself", MINE, param("strategies", {"mine": {"combined": {"mine": 1}}}), "mine"
    ),
    Case(
        "combined with a peer",
        MINE,
        param("strategies", {"mine": {"combined": {"full": 1, "uniform": 1}}}),
        "mine|full",
    ),
    Case(
        "combined of an unscored signal",
        MINE,
        param("strategies", {"mine": {"combined": {"fisher": 1}}}),
        "fisher|not scored",
    ),
    Case(
        "combined so small that it vanishes",
        MINE,
        param("strategies", {"mine": {"combined": {"uniform": 5e-324}}}),
        "mine",
    ),
    Case(
        "combined so large that it overflows",
        MINE,
        param("strategies", {"mine": {"combined": {"uniform": 1e308, "disagreement": 1e308}}}),
        "mine",
    ),
    Case(
        "two definitions at once",
        MINE,
        param("strategies", {"mine": {"explicit": "1", "combined": {"uniform": 1}}}),
        "exactly one",
    ),
    Case("a taken name", ALLOCATE, param("strategies", {"uniform": {"explicit": "1"}}), "uniform"),
    Case(
        "a strategy's name with a slash",
        ALLOCATE,
        param("strategies", {"a/b": {"explicit": "1"}}),
        "strategies|a/b",
    ),
    Case("a strategy's name a number", ALLOCATE, param("strategies", {3: {"explicit": "1"}}), "3"),
]


TRAINING = [
    Case("steps zero", FINETUNE, param("finetune.steps", 0), "finetune.steps"),
    Case("steps infinite", FINETUNE, param("finetune.steps", INF), "finetune.steps|inf"),
    Case("batch of no rows", FINETUNE, param("finetune.batch_size", 0), "finetune.batch_size"),
    Case("learning rate nan", FINETUNE, param("finetune.learning_rate", NAN), "learning_rate"),
    Case(
        "learning rate negative", FINETUNE, param("finetune.learning_rate", -0.1), "learning_rate"
    ),
    Case("learning rates none", FINETUNE, param("finetune.learning_rate", []), "learning_rate"),
    Case("a learning rate twice", FINETUNE, param("finetune.learning_rate", [0.1, 0.1]), "0.1"),
    Case(
        "tuning with a compared seed",
        FINETUNE,
        both(param("finetune.learning_rate", [0.1, 0.2]), param("finetune.tuning_seed", 0)),
        "finetune.tuning_seed|study.seeds",
    ),
    Case(
        "schedule unknown", FINETUNE, param("finetune.schedule", "wavy"), "finetune.schedule|wavy"
    ),
    Case(
        "warm-up of all steps", FINETUNE, param("finetune.warmup_fraction", 1.0), "warmup_fraction"
    ),
    Case("selection by no metric", FINETUNE, param("finetune.select_by", "luck"), "select_by|luck"),
    Case(
        "texts too long for the model", FINETUNE, param("finetune.max_length", 65), "max_length|64"
    ),
    Case("max_length huge", FINETUNE, param("finetune.max_length", 10**30), "max_length"),
    Case("dropout one", FINETUNE, param("finetune.dropout", 1.0), "finetune.dropout"),
    Case("patience zero", FINETUNE, param("finetune.patience", 0), "finetune.patience"),
    Case("bf16 a word", FINETUNE, param("finetune.bf16", "yes"), "finetune.bf16|yes"),
    Case(
        "hidden layer of no width",
        FINETUNE,
        param("tasks.questions.hidden", 0),
        "tasks.questions.hidden",
    ),
    Case(
        "hidden layer too wide to hold",
        FINETUNE,
        param("tasks.questions.hidden", 10**17),
        "tasks.questions.hidden",
    ),
    Case("task key unknown", FINETUNE, param("tasks.questions.hiden", 5), "questions.hiden"),
    Case("evaluate batch negative", EVALUATE, param("evaluate.batch_size", -1), "batch_size|-1"),
    Case("evaluate device absent", EVALUATE, param("evaluate.device", "cuda"), "device|cuda"),
]

CASES = [*SCORING, *ALLOCATION, *TRAINING]
