"""Bad inputs: the command line."""

from tests.stages.spoil import (
    Case,
    cut,
    nothing,
    write,
)

MODEL = "download model"
WEIGHTS = "source/model/model.safetensors"
CONFIG = "source/model/config.json"
RANKS = "adarank ranks source/model --device cpu --rows 4 --probe source/probe.txt"


LINES = [
    Case("download of no task", "download_task", nothing, "--task", usage=True),
    Case("download of a task unknown", "download_task --task trek", nothing, "trek|questions"),
    Case("download of something else", "download weights", nothing, "weights", usage=True),
    Case("score of a signal unknown", "score --signal magic", nothing, "magic", usage=True),
    Case("score of a task's signal", "score --signal fisher", nothing, "fisher", usage=True),
    Case(
        "an option unknown", "allocate --strategie x --budget 2", nothing, "strategie", usage=True
    ),
    Case("allocate of no budget", "allocate --strategy uniform", nothing, "--budget", usage=True),
    Case("ranks of no model", "adarank ranks --budget 2", nothing, "MODEL", usage=True),
    Case("ranks of a worded budget", f"{RANKS} --budget two", nothing, "--budget", usage=True),
    Case("ranks of no texts", f"{RANKS} --budget 2 --rows 0", nothing, "--rows", usage=True),
    Case(
        "ranks of a negative seed", f"{RANKS} --budget 2 --seed -1", nothing, "--seed", usage=True
    ),
    Case("adarank of no such command", "adarank rank", nothing, "rank", usage=True),
    Case("strategy unknown", "allocate --strategy magic --budget 2", nothing, "magic|uniform"),
    Case("strategy that climbs", "allocate --strategy ../x --budget 2", nothing, "../x"),
    Case("budget a word", "allocate --strategy uniform --budget two", nothing, "--budget|two"),
    Case("budget nan", "allocate --strategy uniform --budget nan", nothing, "--budget|nan"),
    Case("budget of other digits", "allocate --strategy uniform --budget ٣", nothing, "--budget"),
    Case("budget zero", "allocate --strategy uniform --budget 0", nothing, "budget|0"),
    Case("budget over all", "allocate --strategy uniform --budget 33", nothing, "budget|33|32"),
    Case("budget huge", f"allocate --strategy uniform --budget {'9' * 400}", nothing, "budget"),
    Case(
        "cell unknown",
        "finetune --task questions --strategy uniform --budget 3",
        nothing,
        "uniform-3",
    ),
    Case(
        "cell that climbs",
        "finetune --task questions --strategy ../plans/uniform --budget 2",
        nothing,
        "strategy",
    ),
    Case(
        "evaluate a cell that climbs",
        "evaluate --task questions --strategy ../plans/uniform --budget 2",
        nothing,
        "strategy",
    ),
    Case(
        "ranks of a folder absent",
        f"{RANKS.replace('source/model', './nowhere')} --budget 2",
        nothing,
        "nowhere",
    ),
    Case(
        "ranks of a source unknown",
        f"{RANKS.replace('source/model', 'ftp:x')} --budget 2",
        nothing,
        "MODEL|ftp:x",
    ),
    Case(
        "ranks of a folder with no model",
        f"{RANKS.replace('/model', '')} --budget 2",
        nothing,
        "source",
    ),
    Case("ranks of torn weights", f"{RANKS} --budget 2", cut(WEIGHTS), "source/model"),
    Case(
        "ranks of a torn tokenizer",
        f"{RANKS} --budget 2",
        cut("source/model/tokenizer.json"),
        "tokenizer",
    ),
    Case("ranks of a config's list", f"{RANKS} --budget 2", write(CONFIG, "[]"), "config.json"),
    Case("ranks of budget nan", f"{RANKS} --budget nan", nothing, "budget|nan"),
    Case("ranks of budget zero", f"{RANKS} --budget 0", nothing, "budget|0"),
    Case(
        "ranks of a huge seed", f"{RANKS} --budget 2 --seed {10**30}", nothing, "seed", usage=True
    ),
    Case("ranks by a strategy unknown", f"{RANKS} --budget 2 --strategy magic", nothing, "magic"),
    Case(
        "ranks by a peer", f"{RANKS} --budget 2 --strategy adalora", nothing, "--strategy|adalora"
    ),
    Case(
        "ranks of bounds crossed",
        f"{RANKS} --budget 2 --min-rank 3 --max-rank 2",
        nothing,
        "--max-rank",
    ),
    Case(
        "ranks of a scale infinite",
        f"{RANKS} --budget 2 --scale-value inf",
        nothing,
        "--scale-value",
    ),
    Case("ranks of noise nan", f"{RANKS} --budget 2 --noise nan", nothing, "--noise"),
    Case("ranks of no such kind", f"{RANKS} --budget 2 --modules qwery", nothing, "qwery|query"),
    Case("ranks of no kinds", f"{RANKS} --budget 2 --modules ,", nothing, "--modules"),
    Case(
        "ranks of no probe",
        f"{RANKS.replace('probe.txt', 'no.txt')} --budget 2",
        nothing,
        "--probe",
    ),
    Case(
        "ranks of an empty probe", f"{RANKS} --budget 2", write("source/probe.txt", ""), "--probe"
    ),
    Case(
        "ranks on no such device", f"{RANKS.replace('cpu', 'abacus')} --budget 2", nothing, "abacus"
    ),
    Case("ranks into a folder", f"{RANKS} --budget 2 --output data", nothing, "--output|data"),
    Case(
        "ranks below a file", f"{RANKS} --budget 2 --output params.yaml/x.json", nothing, "--output"
    ),
]

CASES = [*LINES]
