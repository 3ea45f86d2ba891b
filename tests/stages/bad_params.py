"""Bad inputs: params.yaml itself, its sections, and the study."""

from tests.stages.spoil import (
    PARAMS,
    Case,
    append,
    both,
    cut,
    folder,
    gone,
    no_param,
    nothing,
    param,
    write,
)

FILE = str(PARAMS)
SCORE = "score --signal disagreement"
TASK = "score_task --task questions --signal weight_gradient"
ALLOCATE = "allocate --strategy disagreement --budget 2"
FINETUNE = "finetune --task questions --strategy uniform --budget 2"
EVALUATE = "evaluate --task questions --strategy uniform --budget 2"
INF, NAN = float("inf"), float("nan")
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

THE_FILE = [
    Case("params absent", "check", gone(FILE), "params.yaml|no such"),
    Case("params elsewhere", "score --signal disagreement --params no/p.yaml", nothing, "p.yaml"),
    Case("params a folder", "check", folder(FILE), "params.yaml|folder"),
    Case(
        "params below a file",
        "check --params data/plans/uniform-2/questions.json/p.yaml",
        nothing,
        "p.y",
    ),
    Case("params empty", "check", write(FILE, ""), "params.yaml|mapping"),
    Case("params a list", FINETUNE, write(FILE, "- a\n- b\n"), "params.yaml|mapping"),
    Case("params a word", ALLOCATE, write(FILE, "yes indeed\n"), "params.yaml|mapping"),
    Case("params a number", "summarize", write(FILE, "7\n"), "params.yaml|mapping"),
    Case("params only a comment", EVALUATE, write(FILE, "# nothing\n"), "params.yaml|mapping"),
    Case("params not yaml", "check", write(FILE, "a: [1, 2\nb: }"), "params.yaml|YAML"),
    Case("params with tabs", "check", write(FILE, "model:\n\tsource: x\n"), "params.yaml|YAML"),
    Case("params binary", "check", write(FILE, bytes(range(256)) * 4), "params.yaml|YAML"),
    Case("params with nul", "check", write(FILE, b"model: a\x00b\n"), "params.yaml|YAML"),
    Case("params in utf-16", "check", write(FILE, "model: {}".encode("utf-16")), "params.yaml"),
    Case("params in latin-1", "check", append(FILE, b"# caf\xe9\n"), "params.yaml|YAML"),
    Case("params with a surrogate", "check", append(FILE, b'x: "\\ud800"\n'), "params.yaml|x"),
    Case("params broken off", "check", cut(FILE, 0.5), "params.yaml"),
    Case("params with a key twice", "check", append(FILE, "study: {}\n"), "params.yaml|study"),
    Case("params of two documents", "check", append(FILE, "---\na: 1\n"), "params.yaml|YAML"),
    Case("params with an unknown tag", "check", append(FILE, "x: !thing 1\n"), "params.yaml|tag"),
    Case(
        "params with a python tag",
        "check",
        append(FILE, "x: !!python/object/apply:os.system [false]\n"),
        "params.yaml|tag",
    ),
    Case("params with an absent anchor", "check", append(FILE, "x: *nowhere\n"), "alias"),
    Case("params within themselves", "check", append(FILE, "x: &x\n  y: *x\n"), "params.yaml: x"),
    Case("params nested too deep", "check", append(FILE, "x: " + "[" * 3000), "params.yaml"),
    Case("params that grow", "check", append(FILE, LAUGHS), "params.yaml: b|no such section"),
    Case("a section with a number for a name", "check", append(FILE, "7: {}\n"), "params.yaml: 7"),
    Case("a section with a list for a name", "check", append(FILE, "[a, b]: {}\n"), "params.yaml"),
    Case("a section with no name", "check", append(FILE, "null: {}\n"), "params.yaml"),
]


SECTIONS = [
    Case(f"no section {name}", line, no_param(name), f"params.yaml: {name}|missing")
    for name, line in {
        "model": "download model",
        "tasks": "download_task --task questions",
        "probe": SCORE,
        "score": SCORE,
        "signal": TASK,
        "allocate": ALLOCATE,
        "strategies": ALLOCATE,
        "finetune": FINETUNE,
        "evaluate": EVALUATE,
        "study": "summarize",
    }.items()
] + [
    Case(f"section {name} {what}", "check", param(name, value), f"params.yaml: {name}")
    for name, what, value in [
        ("model", "null", None),
        ("tasks", "a list", []),
        ("score", "a word", "exact"),
        ("study", "a number", 3),
        ("strategies", "a list", ["uniform"]),
        ("finetune", "true", True),
        ("rubbish", "unknown", {}),
    ]
]


STUDY = [
    Case("strategies empty", "check", param("study.strategies", []), "study.strategies"),
    Case("strategies a word", "check", param("study.strategies", "uniform"), "study.strategies"),
    Case("a strategy twice", "check", param("study.strategies", ["uniform"] * 2), "uniform"),
    Case("a strategy unknown", "check", param("study.strategies", ["unifrom"]), "unifrom|uniform"),
    Case("a strategy that climbs", "check", param("study.strategies", ["../uniform"]), "../unif"),
    Case("a strategy that is a number", "check", param("study.strategies", [4]), "strategies.0"),
    Case("the reference absent", "check", param("study.reference", "fisher"), "study.reference"),
    Case("the reference null", "check", param("study.reference", None), "study.reference|null"),
    Case("budgets empty", "summarize", param("study.budgets", []), "study.budgets"),
    Case("a budget zero", "check", param("study.budgets", [0]), "study.budgets.0"),
    Case("a budget negative", "check", param("study.budgets", [-4]), "study.budgets.0"),
    Case("a budget nan", "check", param("study.budgets", [NAN]), "study.budgets.0"),
    Case("a budget infinite", "check", param("study.budgets", [INF]), "study.budgets.0"),
    Case("a budget beyond floats", "check", param("study.budgets", [10**400]), "study.budgets"),
    Case("a budget a word", "check", param("study.budgets", ["four"]), "study.budgets.0"),
    Case("a budget true", "check", param("study.budgets", [True]), "study.budgets.0"),
    Case(
        "a budget too small to be named", "check", param("study.budgets", [1e-7]), "budgets|1e-07"
    ),
    Case("seeds empty", FINETUNE, param("study.seeds", []), "study.seeds"),
    Case("a seed twice", FINETUNE, param("study.seeds", [1, 1]), "study.seeds|more than once"),
    Case("a seed negative", EVALUATE, param("study.seeds", [-1]), "study.seeds.0"),
    Case("a seed too large", FINETUNE, param("study.seeds", [2**32]), "study.seeds.0"),
    Case("a seed a fraction", FINETUNE, param("study.seeds", [0.5]), "study.seeds.0"),
    Case("a signal unknown", "check", param("study.signals", ["magic"]), "study.signals|magic"),
    Case("a signal in the other list", "check", param("study.signals", ["fisher"]), "fisher"),
    Case(
        "no signal at all",
        "check",
        both(param("study.signals", []), param("study.task_signals", [])),
        "study.signals",
    ),
    Case("a study key unknown", "check", param("study.sedes", [1]), "study.sedes|seeds"),
]

CASES = [*THE_FILE, *SECTIONS, *STUDY]
