"""Which runs can be trained at once, and their common carrier."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from adarank.allocation.plan import RankPlan
from adarank.tasks.base import Example, Headed, Task
from adarank.tuning.loop.training import Settings
from adarank.tuning.lora import attach, read_ranks
from adarank.tuning.shortcuts.dropout import has_dropout
from adarank.tuning.together.carrier import Carrier
from adarank.tuning.together.layout import Layout
from adarank.tuning.together.passes import Joint
from adarank.tuning.tuners.base import During
from adarank.tuning.tuners.growing import with_ranks

_OWN = {"learning_rate", "ratios"}
_COMMON = {
    "schedule",
    "steps",
    "batch_size",
    "evaluate_every",
    "select_by",
    "patience",
    "weight_decay",
    "max_grad_norm",
    "bf16",
    "device",
}
"""Settings that runs which are trained at once obey; any other must be at its default."""

LOSS_TOLERANCE, LOSS_TOLERANCE_BF16 = 1e-4, 1e-2
"""Relative difference of a first loss from that of the run's own model, at most."""


def why_apart(model: nn.Module, settings: Settings, during: During) -> str | None:
    """Describe why a run cannot be trained at once with others; None where it can.

    Args:
        model: The run's model, as its tuner attached it.
        settings: How it is trained.
        during: What its tuner does beside.
    """
    if not isinstance(model, PeftModel):
        return "the whole model is trained"
    beside = [f.name for f in fields(During) if getattr(during, f.name) != f.default]
    if set(beside) - {"looked"}:
        return "the tuner acts on the run's steps"
    unknown = [f for f in fields(Settings) if f.name not in _OWN | _COMMON]
    changed = [f.name for f in unknown if getattr(settings, f.name) != f.default]
    if changed:
        return f"{', '.join(changed)} cannot be stacked"
    if has_dropout(model):
        return "dropout is drawn run by run (finetune.dropout: 0 and base_dropout: false end it)"
    return None


def make_carrier(headed: Headed, plan: RankPlan, runs: Sequence[PeftModel], task: Task) -> Carrier:
    """Build the model that computes all runs, with the highest rank of any on every module.

    Args:
        headed: A fresh model with its head; changed in place.
        plan: Any run's plan, for its modules and the rule of scales.
        runs: The runs' models.
        task: What is learned.
    """
    built = [read_ranks(run) for run in runs]
    ranks: dict[str, int] = {}
    costs: dict[str, int] = {}
    for name, one in (item for found in built for item in found.items()):
        ranks[name] = max(one.rank, ranks.get(name, 0))
        costs[name] = one.parameters // one.rank
    highest = with_ranks(plan, ranks, costs)
    model = attach(headed, highest, peft_type=task.peft_type, dropout=0.0, seed=0)
    return Carrier(model, runs)


def carry(
    headed: Headed, plan: RankPlan, runs: Sequence[PeftModel], task: Task, device: str
) -> Carrier | str:
    """Build the carrier of some runs on a device, and let it hold their frozen weights for all.

    Args:
        headed: A fresh model with its head; changed in place.
        plan: Any run's plan.
        runs: The runs' models; moved to the device.
        task: What is learned.
        device: `cpu` or `cuda`.

    Returns:
        The carrier; or in words why the runs cannot share it.
    """
    carrier = make_carrier(headed, plan, runs, task)
    carrier.model.to(device)  # pyright: ignore[reportArgumentType]
    for run in runs:
        run.to(device)  # pyright: ignore[reportArgumentType]
        if reason := share_frozen(carrier.model, [run]):
            return reason
    return carrier


def share_base(first: nn.Module, run: nn.Module) -> None:
    """Let a run use another's frozen weights where they are equal, so that memory holds them once.

    Where they differ nothing is shared; `share_frozen` then says so.
    """
    own = dict(_places(first))
    for place, (owner, name, parameter) in _places(run):
        held = own[place][2] if place in own else None
        if held is None or held.requires_grad or parameter.requires_grad:
            continue
        if torch.equal(held, parameter):
            owner.register_parameter(name, held)


def share_frozen(carrier: nn.Module, runs: Sequence[nn.Module]) -> str | None:
    """Let runs use the carrier's frozen weights in place of their own copies.

    Returns:
        Why they cannot: a run trains what the carrier does not, or has other frozen weights.
    """
    own = dict(_places(carrier))
    for run in runs:
        for place, (owner, name, parameter) in _places(run):
            shared = own[place][2] if place in own else None
            if shared is None or shared.requires_grad != parameter.requires_grad:
                return f"{place} is not trained in every run"
            if parameter.requires_grad:
                continue
            if not torch.equal(shared, parameter.to(shared.device)):
                return f"the pretrained weights differ between runs, first in {place}"
            owner.register_parameter(name, shared)
    return None


def _places(model: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str, nn.Parameter]]]:
    """Yield every parameter by its name without adapters: its owner, its name there, itself.

    The head as it was before PEFT copied it is left out: it is drawn by seed, and not used.
    """
    for path, owner in model.named_modules():
        parts = [part for part in path.split(".") if part != "base_layer"]
        if "original_module" not in parts:
            for name, parameter in list(owner.named_parameters(recurse=False)):
                yield ".".join([*parts, name]), (owner, name, parameter)


def first_losses_differ(
    carrier: Carrier,
    runs: Sequence[PeftModel],
    task: Task,
    rows: Sequence[Example],
    settings: Settings,
) -> str | None:
    """Compare the runs' losses in a joint pass with those of their own models.

    Whatever lets a text's row or its padding touch another's (experts of a limited capacity,
    statistics of a batch, positions counted from padding) shows here.

    Returns:
        By how much they differ, where it is more than rounding.
    """
    layout = Layout(carrier.model)
    joint = Joint(task, carrier, layout, settings.device, settings.bf16)
    size = max(1, min(settings.batch_size, len(rows) // len(runs)))
    batches = [rows[n * size : (n + 1) * size] or rows[:size] for n in range(len(runs))]
    lines = torch.stack([layout.read(run) for run in runs]).to(settings.device)
    with carrier.installed():
        together, _ = joint.gradients(lines, list(range(len(runs))), batches)
    worst = 0.0
    for run, batch, loss in zip(runs, batches, together.tolist(), strict=True):
        moved: Any = {n: t.to(settings.device) for n, t in task.collate(batch).items()}
        with torch.no_grad(), torch.autocast(settings.device, torch.bfloat16, settings.bf16):
            alone = float(task.loss(run, moved))
        worst = max(worst, abs(loss - alone) / max(abs(alone), 1e-6))
    if worst <= (LOSS_TOLERANCE_BF16 if settings.bf16 else LOSS_TOLERANCE):
        return None
    return f"the losses of a joint pass differ by {worst:.1e} from those of runs alone"
