"""The model card of the adapter that a study hands on."""

from typing import Any

Origin = dict[str, Any]

_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "causal_lm": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}

_NONE = """# No adapter

No cell of the study may be handed on:

{reasons}

A candidate is a LoRA cell with the reference's parameters at its budget, all of whose seeds
finished.
"""

_CARD = """---
library_name: peft
{base_model}tags:
- lora
- adarank
---

# {cell}, seed {seed}

{warning}A LoRA adapter for {task}, {parameters:,} parameters in {modules} modules and {head:,} in
the head; its ranks, by strategy `{strategy}` at budget {budget:g}, are in adapter_config.json.

Chosen on validation: of {n} cells of equal parameters at their budget, this one's {metric} has the
best mean over seeds ({mean:.4f}; {better} is better), and of its seeds this one measures best
({value:.4f}). A choice among {n} flatters these two numbers. On test, which had no part in it, the
cell's seeds measure {tests}. Whether its strategy is better than another is not said by any of
this: metrics/summary.json compares them.

| | |
| --- | --- |
| base model | `{model}` |
| dataset | `{dataset}` |
| learning rate | {rate:g} |

```python
from peft import PeftModel
from transformers import {auto_class}

base = {auto_class}.from_pretrained(BASE_MODEL{labels})
model = PeftModel.from_pretrained(base, THIS_FOLDER)
```

{head_note}origin.json holds the plan, the learning rates tried, the sources' hashes and every
candidate's mean.
"""


def card(origin: Origin) -> str:
    """Write a card from the record of where an adapter comes from, or of why there is none."""
    chosen = origin["chosen"]
    if origin["cell"] is None:
        reasons = (f"- {cell}: {why}" for cell, why in chosen["passed_over"].items())
        return _NONE.format(reasons="\n".join(reasons))
    trained, description = origin["trained"], origin["description"]
    task, source = description["type"], origin["model"]["source"]
    return _CARD.format(
        base_model=_base_model(source),
        warning=_warning(chosen),
        cell=origin["cell"],
        seed=origin["seed"],
        task=task,
        parameters=trained["parameters"],
        modules=len(trained["ranks"]),
        head=trained["head_parameters"],
        strategy=origin["strategy"],
        budget=origin["budget"],
        n=len(chosen["means"]),
        metric=chosen["metric"],
        mean=chosen["means"][origin["cell"]],
        better=chosen["better"],
        value=chosen["seed_value"],
        tests=", ".join("undefined" if v is None else f"{v:.4f}" for v in origin["test_by_seed"]),
        model=source,
        dataset=origin["dataset"]["source"],
        rate=trained["learning_rate"],
        auto_class=_CLASSES[task],
        labels=_labels(description),
        head_note=_head_note(origin["hidden"]),
    )


def _warning(chosen: Origin) -> str:
    """Warn of an adapter that has learned nothing."""
    if chosen.get("beats_baseline") is not False:
        return ""
    return (
        f"**On validation it does not beat answering {chosen['baseline_answer']} "
        f"({chosen['metric']} {chosen['baseline']:.4f}): it has learned nothing of use.**\n\n"
    )


def _base_model(source: str) -> str:
    """Name the base model as model hubs read it, where it comes from one."""
    if not source.startswith("hf:"):
        return ""
    return f"base_model: {source.removeprefix('hf:').partition('@')[0]}\n"


def _head_note(hidden: int | None) -> str:
    if hidden is None:
        return ""
    return (
        f"Its head has a GELU layer of {hidden} before the last one, which the class above lacks: "
        "build the\nmodel with `adarank.tasks.registry.make_task` first.\n\n"
    )


def _labels(description: dict[str, Any]) -> str:
    if description["type"] == "regression":
        return ", num_labels=1"
    labels = description.get("labels")
    return (
        f", num_labels={len(labels)}" if description["type"] == "classification" and labels else ""
    )
