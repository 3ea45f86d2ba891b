"""EVA: LoRA that starts from what a module's inputs vary in (Paischer et al. 2024, 2410.07170).

A's rows are the first principal directions of the inputs that the train rows give a module, and
the plan's ranks are redistributed over the modules by how much of the variance each direction
explains, up to `RHO` times a module's own. PEFT computes both; the adapter is then built, saved and
verified as any LoRA of those ranks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import EvaConfig, PeftModel, TaskType, get_eva_state_dict
from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.errors import Problem, RunError, input_error, run_error
from adarank.tasks.base import Batch, Headed
from adarank.tuning.lora import ADAPTER, attach, layers_of, read_ranks
from adarank.tuning.seeds import generator
from adarank.tuning.tuners.base import Found, Start
from adarank.tuning.tuners.lora import Lora

RHO = 2.0
"""How many times its own rank a module may end with, as published."""

MOST_BATCHES = 1000
"""Batches after which directions that still turn are given up; they settle within dozens."""


class Eva(Lora):
    """LoRA whose ranks and first weights PEFT's EVA decides, starting from the plan's ranks."""

    def attach(self, headed: Headed, plan: RankPlan, start: Start) -> PeftModel:
        """Find the directions on train rows, redistribute the ranks, and begin A with them."""
        found = _directions(headed, plan, start)
        names = {full: name for name, full in plan.names_in(headed.model).items()}
        rows = {names[full]: directions for full, directions in found.items()}
        model = attach(
            headed,
            with_ranks(plan, {name: len(directions) for name, directions in rows.items()}),
            peft_type=start.task.peft_type,
            dropout=start.dropout,
            seed=start.seed,
        )
        with torch.no_grad():
            for name, layer in layers_of(model).items():
                weights: Any = layer.lora_A[ADAPTER]
                weights.weight.copy_(rows[name])
        return model

    def verify(self, model: nn.Module, plan: RankPlan, head: Sequence[str]) -> Found:
        """Compare the sum of ranks, the modules and the scales with the plan; read the ranks."""
        assert isinstance(model, PeftModel)
        ranks = {name: one.rank for name, one in read_ranks(model).items()}
        wanted = sum(plan.ranks.values())
        if sum(ranks.values()) != wanted:
            raise RunError(Problem("EVA's ranks", "sum", sum(ranks.values()), f"{wanted}"))
        return super().verify(model, with_ranks(plan, ranks), head)


def with_ranks(plan: RankPlan, ranks: Mapping[str, int]) -> RankPlan:
    """Make the plan with other ranks, each module at its own cost per rank.

    Args:
        plan: The plan.
        ranks: Rank by module name; those not named get none. Only modules that the plan adapts
            can get any, for the others' cost is not known; such a name is left out, and shows
            when the model is verified.
    """
    scale = plan.scale
    modules = tuple(
        replace(
            module,
            rank=(rank := ranks.get(module.name, 0) if module.rank else 0),
            alpha=scale.alpha(rank),
            parameters=rank * (module.parameters // module.rank) if module.rank else 0,
        )
        for module in plan.modules
    )
    return replace(plan, modules=modules, parameters=sum(m.parameters for m in modules))


def _directions(headed: Headed, plan: RankPlan, start: Start) -> dict[str, Tensor]:
    """Compute each module's directions, shape (its new rank, d_in), by full name."""
    task, model = start.task, headed.model
    config = plan.lora_config(
        model,
        task_type=TaskType(task.peft_type),
        init_lora_weights="eva",
        eva_config=EvaConfig(rho=RHO),
    )
    components = round(RHO * plan.max_rank)
    _check_width(plan, model, components)
    batches = eva_batches(start, 2 * components)
    taken = 0

    def forward(running: nn.Module, batch: Batch) -> None:
        nonlocal taken
        taken += 1
        if taken > MOST_BATCHES:
            raise run_error(
                "EVA's directions do not settle",
                where=f"after {MOST_BATCHES} batches of {start.batch_size} train rows",
                remedy="a larger finetune.batch_size, or a smaller budget",
            )
        task.loss(running, batch)

    model.to(start.device)  # pyright: ignore[reportArgumentType]
    found = get_eva_state_dict(
        model,
        batches,
        config,
        forward_fn=forward,
        prepare_model_inputs_fn=lambda batch, _config: batch,
        prepare_layer_inputs_fn=counted_tokens,
        show_progress_bar=False,
    )
    model.to("cpu")  # pyright: ignore[reportArgumentType]
    return {name: rows.to("cpu", torch.float32) for name, rows in found.items() if len(rows)}


def eva_batches(start: Start, tokens: int) -> list[Batch]:
    """Group the train rows, in an order of the seed's, into batches of at least so many tokens.

    Raises:
        InputError: All rows together have fewer.
    """
    rows, size = start.train_rows, start.batch_size
    order = torch.randperm(len(rows), generator=generator(start.seed, "eva")).tolist()
    while True:
        whole = range(0, max(1, len(rows) - size + 1), size)
        picked = [[rows[index] for index in order[at : at + size]] for at in whole]
        batches = [start.task.collate(some) for some in picked]
        if min(map(_tokens, batches)) >= tokens:
            return batches
        if size >= len(rows):
            raise input_error(
                "too few train rows for EVA",
                where="dataset",
                got=f"{min(map(_tokens, batches))} tokens in all",
                expected=f"at least {tokens}: {2 * RHO:g} times the highest rank",
                remedy="a smaller budget, or more rows",
            )
        size *= 2


def counted_tokens(inputs: Any, batch: Batch, name: str) -> Tensor:
    """Return the inputs of real tokens, padding left out; shape (tokens, d_in)."""
    states: Tensor = inputs if isinstance(inputs, Tensor) else inputs[0]
    flat = states.reshape(-1, states.shape[-1])
    masks = _masks(batch)
    # Of an encoder and a decoder of one length, the decoder's tokens are the labels'.
    ordered = masks[::-1] if "decoder" in name.split(".") else masks
    fitting = [mask.reshape(-1) for mask in ordered if mask.numel() == len(flat)]
    return flat[fitting[0]] if fitting else flat


def _tokens(batch: Batch) -> int:
    return min(int(mask.sum()) for mask in _masks(batch))


def _masks(batch: Batch) -> list[Tensor]:
    """Return masks of real tokens: of the inputs, and of labels that are tokens."""
    ids = batch["input_ids"]
    masks = [batch.get("attention_mask", torch.ones_like(ids)).bool()]
    labels = batch.get("labels")
    if labels is not None and labels.ndim > 1:
        masks.append(labels != -100)
    return masks


def _check_width(plan: RankPlan, model: nn.Module, components: int) -> None:
    for name, full in plan.names_in(model).items():
        width = _d_in(model.get_submodule(full))
        if 2 * components > width:
            raise input_error(
                "a rank too high for EVA, which looks at several directions for each",
                where=name,
                got=f"a highest rank of {plan.max_rank}, so {2 * components} directions",
                expected=f"at most {width}, the module's input width",
                remedy="a smaller budget",
            )


def _d_in(layer: Any) -> int:
    # Conv1D stores its weight the other way round.
    return layer.in_features if isinstance(layer, nn.Linear) else layer.weight.shape[0]
