"""Pico members on disk: adapters of unequal ranks, and whole models, of one base."""

from pathlib import Path

import peft
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

LABELS = {"trees": 3, "rivers": 2}


def headed(base: Path, labels: int, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels).eval()


def adapted(base: Path, task: str, **changed: object) -> peft.PeftModel:
    """A LoRA with random B on the queries (rank 2 or 3, as planned) and feed-forward layers."""
    seed = sorted(LABELS).index(task)
    settings = {
        "r": 2 + seed,
        "lora_alpha": 4,
        "use_rslora": bool(seed),
        "target_modules": ["query", "intermediate.dense"],
        "rank_pattern": {"layer.1.intermediate.dense": 1},
        "modules_to_save": ["classifier"],
        **changed,
    }
    model = headed(base, LABELS[task], seed)
    adapter = peft.get_peft_model(model, peft.LoraConfig(**settings))  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return adapter.eval()


def tuned(base: Path, task: str) -> PreTrainedModel:
    """A whole model whose weights moved a little."""
    seed = sorted(LABELS).index(task)
    model = headed(base, LABELS[task], seed)
    torch.manual_seed(100 + seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def saved(folder: Path, base: Path, form: str) -> dict[str, Path]:
    """Save one member a task; `form` is adapters, models, or mixed."""
    folders: dict[str, Path] = {}
    for task in LABELS:
        whole = form == "models" or (form == "mixed" and task == "rivers")
        model = tuned(base, task) if whole else adapted(base, task)
        model.save_pretrained(str(folder / task))
        folders[task] = folder / task
    return folders
