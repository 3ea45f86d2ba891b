"""The paper's estimator, fast: all pairs of draws, unaffected parts replayed, draws batched."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from adarank.models.modules import Module, resolve
from adarank.scoring.engines.forwards import Engine
from adarank.scoring.engines.memory import draws_per_pass, memory_bound
from adarank.scoring.engines.proof import proven_engine
from adarank.scoring.estimators.distance import Distance, Pairs, distances, trial_scores
from adarank.scoring.kept import Kept, NothingKept
from adarank.scoring.noise import Deviations, Draw, Noise, deviations, draw, non_finite
from adarank.scoring.outputs import Batch, Output, compared_output
from adarank.scoring.table import score_table
from adarank.scoring.workers import gathered, my_share

Stop = Callable[[pd.DataFrame], bool]


@dataclass(frozen=True)
class Exact:
    """What the exact estimator compares, and how much it may use.

    Attributes:
        trials: Most trials per module; a trial is two draws.
        noise: Scale of the noise.
        output: The compared output.
        distance: Between two outputs.
        pairs: `all` pairs of draws, or `disjoint` ones as in the paper.
        reference: `perturbed`: draws against draws (the paper). `pristine`: one draw a trial,
            against the undisturbed model (the published code).
        seed: With the module's name and the draw's number, decides every draw.
        memory_gb: Bound in GiB on what one pass may hold and, under a stopping rule, on the outputs
            held from trial to trial; None: half of what is free, for each.
    """

    trials: int = 5
    noise: Noise = field(default_factory=Noise)
    output: Output = "pooled"
    distance: Distance = "l1"
    pairs: Pairs = "all"
    reference: str = "perturbed"
    seed: int = 0
    memory_gb: float | None = None


@dataclass(frozen=True)
class ExactResult:
    """A score table, and how it was made.

    Attributes:
        table: n_modules * trials rows; see `score_table`.
        engine: Which engine was proven and used: see `proven_engine`.
        trials: Trials made; fewer than asked for where the stopping rule held.
    """

    table: pd.DataFrame
    engine: str
    trials: int


def exact(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: Exact,
    *,
    stop: Stop | None = None,
    advance: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
) -> ExactResult:
    """Score modules by disagreement; the same numbers as the plain loop, sooner.

    Equal draws give scores equal to those of `estimators.disagreement` within float32
    rounding. Work after the disturbed module only: (L + 1) / 2L of the blocks, less what the
    disturbed block itself can replay. Under torch.distributed, modules are shared out.

    Args:
        model: A transformers model; set to evaluation mode, its weights left as they were.
        batches: The probe.
        modules: What to score.
        settings: See Exact.
        stop: Asked after every trial from the third on, with the table so far; True ends.
            Without it all trials are made at once.
        advance: Called after each (module, trial).
        kept: Has what an interrupted run had finished: a module's scores, and of the module at
            work the outputs of its draws. With it or without, the table is the same bit for bit.

    Raises:
        RunError: An output is not finite.
        InputError: The memory bound is too small for one draw.
    """
    state = _Comparisons(model, batches, modules, settings, kept or NothingKept())
    rounds = [settings.trials] if stop is None else [1] * settings.trials
    done, table, scores = 0, pd.DataFrame(), dict[str, np.ndarray]()
    for trials in rounds:
        done += trials
        scores |= state.scores(my_share(modules), done, trials, advance)
        together = gathered(scores)
        table = score_table(modules, np.stack([together[module.name] for module in modules]))
        if stop is not None and done >= 3 and stop(table):
            break
    state.finish()
    return ExactResult(table, state.engine, done)


def exact_part(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    settings: Exact,
    part: Sequence[Module],
    *,
    kept: Kept,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Score some of the modules into `kept`, where `exact` then finds them.

    So machines that share nothing but what keeps the parts can score one model together: all
    trials of a module are made on one of them, for every pair of its draws is compared. There is no
    stopping rule, which asks after each trial for the scores of all modules.

    Args:
        model: As for `exact`.
        batches: The probe.
        modules: All that is scored: they decide which engine is proven, and with it the last bits.
        settings: See Exact.
        part: Those of the modules that are scored here.
        kept: Gets their scores.
        advance: Called after each (module, trial).

    Raises:
        RunError: An output is not finite.
        InputError: The memory bound is too small for one draw.
    """
    state = _Comparisons(model, batches, modules, settings, kept)
    state.scores(my_share(part), settings.trials, settings.trials, advance)
    state.finish()


def _by_block(
    engines: Sequence[Engine], modules: Sequence[Module], lacking: Collection[str]
) -> Iterator[Module]:
    """Enter the blocks of the modules that are lacking, by name, and yield these.

    A block is entered with all of its modules, for those of one input (query, key, value) replay
    each other's products: which of them are lacking must not decide the last bits.
    """
    for _, group in groupby(modules, key=lambda module: module.block):
        members = list(group)
        wanted = [module for module in members if module.name in lacking]
        if wanted:
            for engine in engines:
                engine.enter(members)
            yield from wanted


class _Comparisons:
    """The outputs of every draw so far, and the distances among them."""

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        modules: Sequence[Module],
        settings: Exact,
        kept: Kept,
    ) -> None:
        model.eval()
        self.engine, make = proven_engine(
            model, batches[0], modules, settings.output, settings.noise, settings.seed
        )
        self._model, self._modules = model, modules
        self._settings, self._kept = settings, kept
        self._per_pass = draws_per_pass(model, batches, settings.output, settings.memory_gb)
        self._outputs: dict[str, list[list[Tensor]]] = {}
        self._passes: dict[str, list[range]] = {}
        self._sizes: dict[str, Deviations] = {}
        self._bound = memory_bound(next(model.parameters()).device, settings.memory_gb)
        self._sizes_held: dict[str, int] = {}
        self._batches = len(batches)
        self._engines = [make(batch) for batch in batches]
        self._pristine: list[Tensor] = []
        if settings.reference == "pristine":
            with torch.no_grad():
                self._pristine = [
                    compared_output(model, batch, settings.output).float() for batch in batches
                ]

    def finish(self) -> None:
        """Forget the outputs that are left, also those that only an earlier run made."""
        for name in list(self._passes):
            self._forget(name)

    def scores(
        self, modules: Sequence[Module], done: int, trials: int, advance: Callable[[], None]
    ) -> dict[str, np.ndarray]:
        """Score modules at `done` trials, of which `trials` are new: each (done,), by name."""
        known = {module.name: self._known(module, done) for module in modules}
        found = {name: scores for name, scores in known.items() if scores is not None}
        for _ in range(trials * len(found)):
            advance()
        lacking = {module.name for module in modules} - found.keys()
        for module in _by_block(self._engines, self._modules, lacking):
            found[module.name] = self._add(module, done, last=done == self._settings.trials)
            for _ in range(trials):
                advance()
        return found

    def _known(self, module: Module, trials: int) -> np.ndarray | None:
        """Look up a module's scores at `trials` trials, as an earlier run found them."""
        self._plan_passes(module, trials)
        found = self._kept.get(self._scores_name(module, trials))
        return None if found is None else found.numpy()

    def _add(self, module: Module, trials: int, *, last: bool) -> np.ndarray:
        """Extend one module's draws to `trials` trials; return its scores, (n_trials,).

        Its outputs are forgotten when this was the last time. Before that, under a stopping rule,
        they are held for the next trial's pairs as long as those of all modules fit in the
        memory bound; what does not fit is computed again from its seeds, to the same bits.
        """
        outputs = self._outputs.setdefault(module.name, [[] for _ in self._engines])
        for draws in self._passes[module.name][len(outputs[0]) :]:
            for parts, values in zip(outputs, self._pass(module, draws), strict=True):
                parts.append(values)
        scores = self._distances([torch.cat(parts) for parts in outputs])
        self._kept.put(self._scores_name(module, trials), torch.from_numpy(scores))
        if last:
            self._forget(module.name)
        else:
            self._hold(module.name)
        return scores

    def _hold(self, name: str) -> None:
        """Keep a module's outputs in memory, or let them go where that is over the bound."""
        size = sum(values.nbytes for parts in self._outputs[name] for values in parts)
        before = self._sizes_held.get(name, 0)
        if sum(self._sizes_held.values()) - before + size > self._bound:
            self._outputs.pop(name)
            self._sizes_held.pop(name, None)
        else:
            self._sizes_held[name] = size

    def _plan_passes(self, module: Module, trials: int) -> None:
        """Cut the draws that are new up to `trials` trials into passes, the same in every run."""
        passes = self._passes.setdefault(module.name, [])
        stop = trials * (1 if self._pristine else 2)
        starts = range(passes[-1].stop if passes else 0, stop, self._per_pass)
        passes += [range(start, min(start + self._per_pass, stop)) for start in starts]

    def _pass(self, module: Module, draws: range) -> Iterator[Tensor]:
        """Compute or look up the outputs of some draws, batch by batch of the probe."""
        names = [_outputs_name(module.name, at, draws) for at in range(len(self._engines))]
        found = [self._kept.get(name) for name in names]
        noise = [self._draw(module, index) for index in draws if any(one is None for one in found)]
        for name, values, engine in zip(names, found, self._engines, strict=True):
            if values is not None:
                yield values.to(next(self._model.parameters()).device)
                continue
            made = engine.outputs(module, noise)
            if not bool(made.isfinite().all()):
                raise non_finite(module.name, self._settings.noise)
            self._kept.put(name, made)
            yield made

    def _forget(self, name: str) -> None:
        self._outputs.pop(name, None)
        self._sizes_held.pop(name, None)
        self._sizes.pop(name, None)
        for draws in self._passes.pop(name):
            for at in range(self._batches):
                self._kept.drop(_outputs_name(name, at, draws))

    def _scores_name(self, module: Module, trials: int) -> str:
        # How many draws go through together may decide the last bits.
        return f"scores of {module.name}, {trials} trials, {self._per_pass} draws a pass"

    def _distances(self, batches: list[Tensor]) -> np.ndarray:
        settings = self._settings
        rows = sum(values.shape[1] for values in batches)
        against = self._pristine or batches
        summed = [
            distances(values, other if other.dim() == 3 else other[None], settings.distance)
            for values, other in zip(batches, against, strict=True)
        ]
        pairwise = torch.stack(summed).sum(0).div(rows).cpu().numpy()
        return pairwise[:, 0] if self._pristine else trial_scores(pairwise, settings.pairs)

    def _draw(self, module: Module, index: int) -> Draw:
        layer = self._model.get_submodule(resolve(self._model, module.name))
        noise, seed = self._settings.noise, self._settings.seed
        if module.name not in self._sizes:
            self._sizes[module.name] = deviations(layer, noise)
        sizes = self._sizes[module.name]
        return draw(layer, noise, seed=seed, name=module.name, index=index, sizes=sizes)


def _outputs_name(module: str, at: int, draws: range) -> str:
    return f"outputs of {module}, batch {at}, draws {draws.start} to {draws.stop}"
