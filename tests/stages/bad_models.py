"""Bad inputs: where models come from."""

from pathlib import Path
from typing import Any

import torch

from tests.stages.spoil import (
    Case,
    append,
    both,
    cut,
    entry,
    folder,
    gone,
    param,
    pickled,
    write,
)

MODEL = "download model"
TRAIN, WEIGHTS = "source/train.csv", "source/model/model.safetensors"
CONFIG = "source/model/config.json"
INDEX = "source/model/model.safetensors.index.json"


class Evil:
    """What a pickle of it would do when loaded: make a file."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil"),))


MODELS = [
    Case("model source unknown", MODEL, param("model.source", "ftp:x"), "model.source|ftp"),
    Case("model source empty", MODEL, param("model.source", ""), "model.source"),
    Case("model source a number", MODEL, param("model.source", 3), "model.source"),
    Case("model source bare", MODEL, param("model.source", "org/name"), "model.source|hf:org/name"),
    Case("model source builtin", MODEL, param("model.source", "builtin:questions"), "model.source"),
    Case("hub source of no revision", MODEL, param("model.source", "hf:org/name"), "@main"),
    Case("hub source that climbs", MODEL, param("model.source", "hf:../x@main"), "model.source"),
    Case(
        "wheel source that climbs", MODEL, param("model.source", "pypi:a==1/../x"), "model.source"
    ),
    Case("wheel source of no version", MODEL, param("model.source", "pypi:a/b"), "model.source"),
    Case("model folder absent", MODEL, param("model.source", "file:nowhere"), "model.source"),
    Case("model folder a file", MODEL, param("model.source", f"file:{TRAIN}"), "model.source"),
    Case("model folder with a nul", MODEL, param("model.source", "file:a\0b"), "model.source"),
    Case(
        "model folder a surrogate",
        MODEL,
        write(
            "params.yaml",
            'model:\n  source: "file:\\ud800"\n  convert_pickle: false\n  sha256: {}\n',
        ),
        "source",
    ),
    Case("model folder name too long", MODEL, param("model.source", "file:" + "n" * 5000), "nnnn"),
    Case("model without config", MODEL, gone(CONFIG), "config.json"),
    Case(
        "model without tokenizer",
        MODEL,
        both(gone("source/model/tokenizer.json"), gone("source/model/tokenizer_config.json")),
        "tokenizer",
    ),
    Case("model without weights", MODEL, gone(WEIGHTS), "safetensors"),
    Case("config torn", MODEL, cut(CONFIG), "config.json"),
    Case("config a list", MODEL, write(CONFIG, "[]"), "config.json|model_type"),
    Case("config binary", MODEL, write(CONFIG, bytes(range(256))), "config.json"),
    Case("config too deep", MODEL, write(CONFIG, "[" * 100_000), "config.json"),
    Case("config a folder", MODEL, folder(CONFIG), "config.json"),
    Case("model type unknown", MODEL, entry(CONFIG, "model_type", "brt"), "model_type|bert"),
    Case("model type a number", MODEL, entry(CONFIG, "model_type", 7), "model_type|7"),
    Case("weights torn", MODEL, cut(WEIGHTS), "model.safetensors|damaged"),
    Case("weights empty", MODEL, write(WEIGHTS, ""), "model.safetensors"),
    Case("weights no safetensors", MODEL, write(WEIGHTS, "not weights" * 50), "model.safetensors"),
    Case("weights of a huge header", MODEL, write(WEIGHTS, b"\xff" * 64), "model.safetensors"),
    Case("weights with bytes after", MODEL, append(WEIGHTS, b"\0" * 9), "model.safetensors"),
    Case(
        "index torn",
        MODEL,
        both(
            gone(WEIGHTS),
            write(INDEX, '{"weight_map'),
            write("source/model/model-00001-of-00002.safetensors", "x"),
        ),
        "index.json",
    ),
    Case(
        "index of another form",
        MODEL,
        both(
            gone(WEIGHTS),
            write(INDEX, "[]"),
            write("source/model/model-00001-of-00002.safetensors", "x"),
        ),
        "index.json",
    ),
    Case(
        "index with numbers",
        MODEL,
        both(
            gone(WEIGHTS),
            write(INDEX, '{"weight_map": {"a": 1}}'),
            write("source/model/model-00001-of-00002.safetensors", "x"),
        ),
        "index.json",
    ),
    Case(
        "index that climbs",
        MODEL,
        both(
            gone(WEIGHTS),
            write(INDEX, '{"weight_map": {"a": "../../params.yaml"}}'),
            write("source/model/model-00001-of-00002.safetensors", "x"),
        ),
        "index.json|../../params.yaml",
    ),
    Case(
        "index of a lacking shard",
        MODEL,
        both(
            gone(WEIGHTS),
            write(INDEX, '{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'),
            write("source/model/model-00001-of-00002.safetensors", "x"),
        ),
        "00002-of-00002",
    ),
    Case(
        "pickle without leave",
        MODEL,
        both(pickled({}), param("model.convert_pickle", False)),
        "model.convert_pickle",
    ),
    Case("pickle with code", MODEL, pickled({"w": Evil()}), "pytorch_model.bin"),
    Case("pickle of a list", MODEL, pickled([torch.zeros(2)]), "pytorch_model.bin|list"),
    Case(
        "pickle torn",
        MODEL,
        both(pickled({"w": torch.zeros(99)}), cut("source/model/pytorch_model.bin")),
        "pytorch_model.bin",
    ),
    Case(
        "pin of other bytes", MODEL, param("model.sha256", {"config.json": "0" * 64}), "sha256.conf"
    ),
    Case("pin of no file", MODEL, param("model.sha256", {"no.json": "0" * 64}), "sha256.no.json"),
    Case(
        "pin no digest", MODEL, param("model.sha256", {"config.json": "abc"}), "model.sha256.config"
    ),
    Case(
        "data model a file", MODEL, both(gone("data/model"), write("data/model", "x")), "data/model"
    ),
    Case("data a file", MODEL, both(gone("data"), write("data", "x")), "data"),
]

CASES = [*MODELS]
