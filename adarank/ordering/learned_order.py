"""The signal `learned_order`: which module matters more, as learned from other models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from adarank.models.modules import Module, resolve
from adarank.ordering.features import ModuleWeight, module_features
from adarank.ordering.learned import LearnedOrder, recognised, weight_hash
from adarank.ordering.sorting import intransitivity
from adarank.ordering.stored_order import load_order
from adarank.scoring.scores import Scores
from adarank.scoring.signals.weights import not_finite
from adarank.scoring.table import score_table

FEW_BLOCKS = 6
"""The fewest blocks of a model on which a learned order was closer to exact than equal shares."""


@dataclass(frozen=True)
class Ordered:
    """Scores by a learned order, and how far to trust them.

    Attributes:
        scores: One trial per module: its share of the budget, in equal shares.
        caveats: What a reader of the ranks should know, a line each.
        cyclic: Share of the triples of modules whose comparisons form a cycle.
    """

    scores: Scores
    caveats: tuple[str, ...]
    cyclic: float


def learned_order(
    model: nn.Module,
    modules: Sequence[Module],
    *,
    learned: LearnedOrder | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Ordered:
    """Score modules by an order that SortNet learned on other models: no texts, no forward.

    Features of every weight (`adarank.ordering.features`) go to a comparator that was trained on
    models whose exact disagreement is known; a module's wins against all others are its place,
    and score = the training models' mean share at that place, as a multiple of an equal share.
    What it is worth is measured in docs/ordering.md: a ridge regression does as well.

    Args:
        model: A transformers model, with or without a head; left as it is.
        modules: What to score. The order is among these alone.
        learned: None for the one that comes with the package.
        advance: Called after each module.

    Raises:
        InputError: The comparator is of another set of features.
        RunError: A weight is not finite.
    """
    learned = learned or load_order()
    weights = [module_weight(model, module) for module in modules]
    table = module_features(weights, advance=advance)
    margins = learned.margins(table)
    cyclic = intransitivity(margins)
    scores = score_table(modules, learned.shares(margins)[:, None])
    caveats = tuple(_caveats(weights, learned, cyclic))
    return Ordered(Scores(scores, "weights", 0), caveats, cyclic)


def module_weight(model: nn.Module, module: Module) -> ModuleWeight:
    """Return a module's weight as features read it, shape (d_out, d_in).

    Raises:
        RunError: It is not finite.
    """
    layer = model.get_submodule(resolve(model, module.name))
    weight = layer.get_parameter("weight").detach()
    if not bool(torch.isfinite(weight).all()):
        raise not_finite("the weight", module)
    # GPT-2's layers store their weight the other way round.
    weight = weight.mT if isinstance(layer, Conv1D) else weight
    return ModuleWeight(module.name, module.block, module.kind, weight)


def _caveats(modules: Sequence[ModuleWeight], learned: LearnedOrder, cyclic: float) -> list[str]:
    n_models = len(learned.models)
    lines = [
        f"a guess learned from {n_models} models, without a forward; on models left out, "
        "a ridge regression on the same features did as well (docs/ordering.md)"
    ]
    first = min(module.block for module in modules)
    hashes = [weight_hash(module.weight) for module in modules if module.block == first]
    if known := recognised(hashes, learned.models):
        lines.append(
            f"this model is one of the {n_models} that it learned from ({known.name}, "
            f"{known.source}), so its ranks here are no test of it"
        )
    seen = {kind for model in learned.models for kind in model.kinds}
    unseen = [module.kind for module in modules if module.kind not in seen]
    if unseen:
        lines.append(
            f"{len(unseen)} of {len(modules)} modules ({len(unseen) / len(modules):.0%}) are of "
            f"kinds that it has never seen: {', '.join(dict.fromkeys(unseen))}"
        )
    n_blocks = len({module.block for module in modules})
    if n_blocks < FEW_BLOCKS:
        lines.append(
            f"{n_blocks} blocks are few: on the model of two blocks, equal ranks were closer to "
            "exact than any learned order"
        )
    if cyclic > 0.01:
        lines.append(f"its comparisons form a cycle on {cyclic:.1%} of the triples of modules")
    return lines
