"""The public names: loaded when used, typed, and enough for ranks in five lines."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

import adarank
from tests.architectures import CONFIGS
from tests.pico import SPECIAL, WORDS, pico_tokenizer
from tests.pipeline.closure import closure

TEXTS = ["who is the king", "what river is long", "where is the old city ?", "how many trees"]
TOP = Path(__file__).parents[2]


def test_importing_adarank_takes_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, adarank; adarank.InputError; dir(adarank); "
        "print({'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_an_edit_elsewhere_concerns_no_one_who_imports_adarank_alone() -> None:
    assert closure("adarank") == ["adarank/__init__.py"]


@pytest.mark.parametrize("name", adarank.__all__)
def test_every_public_name_is_the_one_of_its_home(name: str) -> None:
    value = getattr(adarank, name)
    assert value.__name__ == name
    assert value is getattr(import_module(value.__module__), name)
    assert name in dir(adarank)


def test_the_types_declare_exactly_the_public_names() -> None:
    tree = ast.parse((TOP / "adarank/__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    declared = {alias.asname: f"{node.module}" for node in imports for alias in node.names}
    assert declared == {name: getattr(adarank, name).__module__ for name in adarank.__all__}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'adarank' has no attribute 'scroe'"):
        _ = adarank.scroe
    assert isinstance(adarank.__version__, str)


@pytest.mark.parametrize(
    ("name", "auto", "task"),
    [
        ("bert", AutoModelForSequenceClassification, "SEQ_CLS"),
        ("gpt2", AutoModelForCausalLM, "CAUSAL_LM"),
        ("llama", AutoModelForCausalLM, "CAUSAL_LM"),
        ("t5", AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM"),
        ("bart", AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM"),
        ("llama", AutoModel, None),
    ],
)
def test_five_lines_from_any_model_to_an_adapted_one(name: str, auto: Any, task: str) -> None:
    config = CONFIGS[name]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    torch.manual_seed(0)
    model, tokenizer = auto.from_config(config), pico_tokenizer()

    scores = adarank.score(model, TEXTS, tokenizer, trials=2)
    plan = adarank.allocate(scores, budget=8)
    adapted = peft.get_peft_model(model, plan.lora_config(model, task_type=task))

    assert len(set(plan.ranks.values())) > 1
    lora = sum(p.numel() for key, p in adapted.named_parameters() if "lora_" in key)
    assert lora == plan.parameters == 8 * sum(scores[scores.trial == 0].parameters_per_rank)


def test_a_new_head_changes_no_score() -> None:
    config = CONFIGS["bert"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    torch.manual_seed(0)
    headed, tokenizer = AutoModelForSequenceClassification.from_config(config), pico_tokenizer()
    bare = adarank.score(headed.base_model, TEXTS, tokenizer, trials=2)
    assert adarank.score(headed, TEXTS, tokenizer, trials=2).equals(bare)
    assert not adarank.score(headed, TEXTS, tokenizer, trials=2, output="logits").equals(bare)


def test_scoring_leaves_the_tokenizer_as_it_was() -> None:
    tokenizer = pico_tokenizer()
    tokenizer.padding_side, tokenizer.pad_token, tokenizer.eos_token = "left", None, "[SEP]"
    config = CONFIGS["llama"]()
    config.vocab_size = len(SPECIAL) + len(WORDS)
    adarank.score(AutoModel.from_config(config), TEXTS, tokenizer, estimator="linearized")
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", None)
