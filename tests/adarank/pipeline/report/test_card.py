"""The model card tells where an adapter comes from and why it was chosen, or why none was."""

from typing import Any

import pytest

from adarank.pipeline.report.card import card


def origin(**changed: Any) -> dict[str, Any]:
    chosen = {
        "metric": "accuracy",
        "better": "higher",
        "seed_value": 0.91,
        "means": {"uniform-4": 0.8, "fisher-4": 0.9},
        "passed_over": {"full-4": "full owns its training"},
    }
    told = {
        "cell": "fisher-4",
        "seed": 1,
        "strategy": "fisher",
        "budget": 4.0,
        "hidden": None,
        "chosen": chosen,
        "trained": {
            "parameters": 1792,
            "head_parameters": 99,
            "ranks": {"a": 4, "b": 4},
            "learning_rate": 1e-3,
        },
        "description": {"type": "classification", "labels": ["x", "y", "z"]},
        "model": {"source": "hf:someone/small@main"},
        "dataset": {"source": "builtin:questions"},
        "test_by_seed": [0.7, None],
    }
    return told | changed


def test_it_names_the_base_the_choice_and_what_test_measured() -> None:
    told = card(origin())
    assert told.startswith("---\nlibrary_name: peft\nbase_model: someone/small\n")
    assert "# fisher-4, seed 1" in told and "1,792 parameters in 2 modules" in told
    assert "of 2 cells" in told and "0.9000; higher is better" in told and "0.9100" in told
    assert "seeds measure 0.7000, undefined" in told
    assert "AutoModelForSequenceClassification.from_pretrained(BASE_MODEL, num_labels=3)" in told
    assert "GELU" not in told and "{" not in told


@pytest.mark.parametrize(
    ("task", "loads"),
    [
        (
            "regression",
            "AutoModelForSequenceClassification.from_pretrained(BASE_MODEL, num_labels=1)",
        ),
        ("causal_lm", "AutoModelForCausalLM.from_pretrained(BASE_MODEL)"),
        ("seq2seq", "AutoModelForSeq2SeqLM.from_pretrained(BASE_MODEL)"),
    ],
)
def test_it_loads_by_the_tasks_own_class(task: str, loads: str) -> None:
    assert loads in card(origin(description={"type": task}))


def test_a_base_from_no_hub_is_no_hubs_name_and_a_wider_head_is_told() -> None:
    told = card(origin(model={"source": "file:models/small"}, hidden=768))
    assert "base_model:" not in told and "`file:models/small`" in told
    assert "a GELU layer of 768" in told


def test_without_an_adapter_it_says_why() -> None:
    told = card(origin(cell=None))
    assert told.startswith("# No adapter") and "- full-4: full owns its training" in told


def test_an_adapter_that_learned_nothing_is_warned_of_first() -> None:
    chosen = origin()["chosen"] | {
        "baseline": 0.92,
        "beats_baseline": False,
        "baseline_answer": "the commonest label",
    }
    warned = card(origin(chosen=chosen)).partition("# fisher-4, seed 1\n\n")[2]
    assert warned.startswith(
        "**On validation it does not beat answering the commonest label (accuracy 0.9200)"
    )
    assert "does not beat" not in card(origin(chosen=chosen | {"beats_baseline": True}))
