"""The proof, before scoring, that replay gives this model's own outputs."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from adarank.models.modules import Module, resolve
from adarank.scoring.engines.forwards import Engine, FullForwards
from adarank.scoring.engines.replay import Replay
from adarank.scoring.noise import Noise, draw
from adarank.scoring.outputs import Batch, Output

MakeEngine = Callable[[Batch], Engine]


def proven_engine(
    model: nn.Module,
    batch: Batch,
    modules: Sequence[Module],
    output: Output,
    noise: Noise,
    seed: int,
) -> tuple[str, MakeEngine]:
    """Choose the fastest engine whose outputs equal those of full forwards.

    Checked on one draw of one module of each kind, spread over the blocks, and of the last module,
    before which all that can be answers; two draws batched:
    the largest difference at most 1e-5 of the largest output (2e-2 in half precision).

    Args:
        model: In evaluation mode.
        batch: The batch to check on.
        modules: What will be scored.
        output: The compared output.
        noise: The noise that scoring will use.
        seed: Scoring's seed.

    Returns:
        `replay, trimmed`, `replay` or `full forwards`, and what makes that engine for a batch.
    """
    candidates: dict[str, MakeEngine] = {
        "replay, trimmed": lambda part: Replay(model, part, output, trim=True),
        "replay": lambda part: Replay(model, part, output, trim=False),
    }
    reference = FullForwards(model, batch, output)
    picked = one_of_each_kind(modules)
    last = max(modules, key=lambda module: module.block)
    if last not in picked:
        picked.append(last)
    for name, make in candidates.items():
        if name == "replay, trimmed" and output != "pooled":
            continue
        if _agrees(make, reference, model, batch, picked, noise, seed):
            return name, make
    return "full forwards", lambda part: FullForwards(model, part, output)


def one_of_each_kind(modules: Sequence[Module]) -> list[Module]:
    """Pick one module of each kind, taking the blocks in turn, and all with shared weights."""
    kinds: dict[str, list[Module]] = {}
    for module in modules:
        kinds.setdefault(module.kind, []).append(module)
    picked = [found[turn * 7 % len(found)] for turn, found in enumerate(kinds.values())]
    picked += [module for module in modules if module.aliases and module not in picked]
    return sorted(picked, key=lambda module: module.block)


def _agrees(
    make: MakeEngine,
    reference: Engine,
    model: nn.Module,
    batch: Batch,
    modules: Sequence[Module],
    noise: Noise,
    seed: int,
) -> bool:
    try:
        engine = make(batch)
        return all(_same(engine, reference, model, module, noise, seed) for module in modules)
    except (RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError):
        # A model whose parts cannot be replayed fails in ways of its own; it gets full forwards.
        return False


def _same(
    engine: Engine, reference: Engine, model: nn.Module, module: Module, noise: Noise, seed: int
) -> bool:
    layer = model.get_submodule(resolve(model, module.name))
    draws = [draw(layer, noise, seed=seed, name=module.name, index=i) for i in (0, 1)]
    engine.enter([module])
    found, wanted = engine.outputs(module, draws), reference.outputs(module, draws[1:])
    if found.shape[1:] != wanted.shape[1:]:
        return False
    half = layer.get_parameter("weight").dtype in (torch.bfloat16, torch.float16)
    allowed = (2e-2 if half else 1e-5) * wanted.abs().max()
    return bool((found[1:] - wanted).abs().max() <= allowed)
