"""Changing ranks during a run: when, by how much, and down to the budget at the end."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from adarank.allocation.growth import Course, Growth
from adarank.allocation.plan import RankPlan
from adarank.factors.svd import Components, Update, decompose
from adarank.factors.truncation import ranks_within, truncate
from adarank.tasks.base import Batch
from adarank.tuning.loop.checkpoint import State
from adarank.tuning.loop.stepping import Stepping
from adarank.tuning.lora import ADAPTER, layers_of
from adarank.tuning.merged import Merged
from adarank.tuning.resizing import (
    drop,
    extend,
    gradient_rows,
    kaiming_rows,
    put,
    update_of,
)
from adarank.tuning.seeds import generator
from adarank.tuning.tuners.base import Start
from adarank.tuning.update_statistics import (
    EFFECTIVE_RANK,
    components_seen,
    mean_effective_rank,
    measure_updates,
    sample,
    weight_gradients,
)


class Grower:
    """The state of a run whose ranks change; a part of its checkpoints.

    Args:
        model: With adapters of the start rank on every module.
        plan: Where the ranks are to end.
        growth: How they change.
        course: The same, settled for this run.
        start: The run.
    """

    def __init__(
        self, model: PeftModel, plan: RankPlan, growth: Growth, course: Course, start: Start
    ):
        self._model, self._plan, self._start = model, plan, start
        self._growth, self._course = growth, course
        self._layers: dict[str, Any] = dict(sorted(layers_of(model).items()))
        self._merged = Merged(self._layers)
        self._losses: list[float] = []
        self._cuts_made = 0
        self._first = self._ranks()
        self._events: list[dict[str, Any]] = []
        self._row = self._sizes()
        self._summed = {"steps": 0, "parameters": 0, "peak": 0}

    def change(self, step: int, loss: float, stepping: Stepping) -> bool:
        """Grow or cut the ranks where this step is the time; see `base.Change`."""
        self._row = self._sizes()
        self._summed["steps"] += 1
        self._summed["parameters"] += self._row["parameters"]
        self._summed["peak"] = max(self._summed["peak"], self._row["parameters"])
        self._losses = [*self._losses, loss][-2 * self._course.window :]
        cuts = self._course.cuts[self._cuts_made :]
        if cuts and step == cuts[0][0]:
            self._cut(step, cuts[0][1], stepping)
            self._cuts_made += 1
        else:
            due = not self._growth.schedule and self._course.checks(step)
            if not (due and self._stalled() and self._grow(step, stepping)):
                return False
        self._losses = []
        return True

    def columns(self) -> dict[str, int]:
        """Return what the last step trained, and the rank of what it would have left."""
        return self._row

    def looked(self) -> dict[str, float]:
        """Return the effective rank, of merged parts and live ones together."""
        updates = map(self._merged.whole, self._present())
        return {EFFECTIVE_RANK: mean_effective_rank(updates, len(self._plan.modules))}

    def finish(self) -> dict[str, Any]:
        """Make the model one plain adapter on the untouched base; return the run's record."""
        if self._merged:
            self._unmerge(None)
        steps = max(1, self._summed["steps"])
        return {
            "peak_parameters": self._summed["peak"],
            "mean_parameters": self._summed["parameters"] / steps,
            "rank_changes": [{"step": 0, "change": "start", "ranks": self._first}, *self._events],
        }

    def state(self) -> State:
        """Return ranks, merged parts, recent losses and what happened so far."""
        note = {
            "ranks": self._ranks(),
            "losses": self._losses,
            "cuts_made": self._cuts_made,
            "events": self._events,
            "summed": self._summed,
            "row": self._row,
        }
        return State(self._merged.tensors(), note)

    def restore(self, state: State) -> None:
        """Restore every layer's rank, and what was merged into the base; factors come after."""
        note = state.note
        self._merged.restore(state.tensors)
        for name, layer in self._layers.items():
            if rank := note["ranks"][name]:
                update = update_of(layer)
                a = update.a.new_zeros(rank, update.a.shape[1])
                put(layer, a, update.b.new_zeros(update.b.shape[0], rank), self._plan.scale)
            else:
                drop(layer)
        self._losses, self._cuts_made = note["losses"], note["cuts_made"]
        self._events, self._summed, self._row = note["events"], note["summed"], note["row"]

    def _stalled(self) -> bool:
        growth, window = self._growth, self._course.window
        if growth.trigger == "threshold":
            return self._losses[-1] > growth.tolerance
        if len(self._losses) < 2 * window:
            return False
        before, now = fmean(self._losses[:window]), fmean(self._losses[window:])
        return before - now < growth.tolerance * abs(before)

    def _grow(self, step: int, stepping: Stepping) -> bool:
        """Raise ranks by the growth's step; False where every module is at its limit."""
        growth, renew = self._growth, self._growth.change == "renew"
        rows, gains = self._new_directions(step)
        more = self._increases(gains)
        if not any(more.values()):
            return False
        for name, layer in self._layers.items():
            if renew:
                update, rank = update_of(layer), update_of(layer).rank + more[name]
                self._merged.add(name, Update(update.a.clone(), update.scale * update.b))
                b = update.b.new_zeros(update.b.shape[0], rank)
                put(layer, rows[name][:rank], b, self._plan.scale, stepping)
            elif more[name]:
                extend(layer, rows[name][: more[name]], self._plan.scale, stepping)
        if renew:
            stepping.restart()
        self._events.append({"step": step, "change": growth.change, "ranks": self._ranks()})
        return True

    def _increases(self, gains: Mapping[str, list[float]]) -> dict[str, int]:
        """Ranks that each module gains, within what its highest rank leaves."""
        room = {
            name: self._highest(layer) - update_of(layer).rank
            for name, layer in self._layers.items()
        }
        step = self._growth.step
        if self._growth.grow == "all":
            return {name: min(step, left) for name, left in room.items()}
        costs = {name: _cost(layer) for name, layer in self._layers.items()}
        allowed = {name: gains[name][:left] for name, left in room.items()}
        return ranks_within(allowed, costs, step * sum(costs.values())).ranks

    def _new_directions(self, step: int) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
        """New rows of A by module, and what each direction of the gradient gains."""
        growth, renew = self._growth, self._growth.change == "renew"
        rows = {
            name: self._random_rows(name, step, self._highest(one))
            for name, one in self._layers.items()
            if growth.direction == "random"
        }
        if growth.grow == "all" and growth.direction == "random":
            return rows, {}
        gradients = weight_gradients(self._model, self._start.task, self._batches(), self._layers)
        gains: dict[str, list[float]] = {}
        for name, layer in self._layers.items():
            along, gained = gradient_rows(gradients[name], None if renew else update_of(layer).a)
            gains[name] = gained.tolist()
            if growth.direction == "gradient":
                rows[name] = along
        return rows, gains

    def _cut(self, step: int, multiple: float, stepping: Stepping) -> None:
        """Truncate the update to so many times the plan's parameters, exactly."""
        if self._merged:
            self._unmerge(stepping)
        self._reach_plan(step, stepping)
        layers = self._present()
        costs = {name: _cost(layer) for name, layer in layers.items()}
        parts = self._components(layers)
        energies = {name: one.energies.tolist() for name, one in parts.items()}
        total = sum(map(sum, energies.values()))
        target = min(round(multiple * self._plan.parameters), self._sizes()["parameters"])
        # Until the last cut, planned ranks stay: the last one can then spend exactly the budget.
        kept_back = {} if multiple == 1 else self._plan.ranks
        if self._growth.keep == "plan":
            kept_back = {name: int(multiple * rank) for name, rank in self._plan.ranks.items()}
        worth = {
            name: [e + (total + 1) * (i < kept_back.get(name, 0)) for i, e in enumerate(values)]
            for name, values in energies.items()
        }
        ranks = ranks_within(worth, costs, target).ranks
        for name, layer in layers.items():
            if not ranks[name]:
                drop(layer, stepping)
                continue
            kept = truncate(parts[name], ranks[name], self._plan.scale.factor(ranks[name]))
            # A component of no norm would be zero in both factors, and never learn.
            dead = torch.linalg.vector_norm(kept.a, dim=1) == 0
            new = self._random_rows(name, step, kept.rank).to(kept.a)
            a = torch.where(dead[:, None], new, kept.a)
            put(layer, a, kept.b, self._plan.scale, stepping)
        held = sum(sum(energies[name][:rank]) for name, rank in ranks.items())
        lost = 1 - held / total if total else 0.0
        self._events.append(
            {"step": step, "change": "cut", "ranks": self._ranks(), "energy_lost": lost}
        )

    def _components(self, layers: Mapping[str, Any]) -> dict[str, Components]:
        updates = {name: update_of(layer) for name, layer in layers.items()}
        if not self._growth.loss_metric:
            return {name: decompose(update).components for name, update in updates.items()}
        batches = self._batches()
        seen = measure_updates(self._model, self._start.task, batches, layers)
        return {
            name: components_seen(update, seen[name], len(batches))
            for name, update in updates.items()
        }

    def _reach_plan(self, step: int, stepping: Stepping) -> None:
        """Raise modules below their planned rank to it: cutting can only spend what is there."""
        for name, layer in self._present().items():
            missing = self._plan.ranks[name] - update_of(layer).rank
            if missing > 0:
                extend(layer, self._random_rows(name, step, missing), self._plan.scale, stepping)

    def _unmerge(self, stepping: Stepping | None) -> None:
        """Restore the base, and make what was merged into it part of the adapters."""
        for name, whole in self._merged.take_out().items():
            b = whole.b / self._plan.scale.factor(whole.rank)
            put(self._layers[name], whole.a, b, self._plan.scale, stepping)

    def _batches(self) -> list[Batch]:
        """The same train rows at every measurement, drawn by the seed."""
        start = self._start
        device = next(self._model.parameters()).device
        draws = generator(start.seed, "growing", "rows")
        rows = start.train_rows
        return sample(start.task, rows, self._growth.rows, start.batch_size, draws, device)

    def _random_rows(self, name: str, step: int, count: int) -> Tensor:
        draws = generator(self._start.seed, "growing", name, str(step))
        return kaiming_rows(count, update_of(self._layers[name]).a.shape[1], draws)

    def _highest(self, layer: Any) -> int:
        """The rank that a layer can have after growing."""
        return max(update_of(layer).rank, min(self._course.highest, _side(layer)))

    def _present(self) -> dict[str, Any]:
        """The layers that still have an adapter."""
        return {name: one for name, one in self._layers.items() if ADAPTER in one.lora_A}

    def _ranks(self) -> dict[str, int]:
        present = self._present()
        return {
            name: update_of(layer).rank if name in present else 0
            for name, layer in self._layers.items()
        }

    def _sizes(self) -> dict[str, int]:
        updates = [update_of(layer) for layer in self._present().values()]
        trained = sum(update.rank for update in updates)
        return {
            "parameters": sum(update.parameters for update in updates),
            "total_rank": trained,
            "kept_rank": trained + self._merged.rank,
        }


def _side(layer: Any) -> int:
    return min(layer.in_features, layer.out_features)


def _cost(layer: Any) -> int:
    return layer.in_features + layer.out_features
