"""Scoring that is cut short, again and again, ends with the very bits of an undisturbed run."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from torch import Tensor

from adarank.models.modules import find_modules
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from adarank.scoring.estimators.published import AsPublished
from adarank.scoring.estimators.stopping import stop_rule
from adarank.scoring.score import Settings, score_modules
from tests.architectures import pico, pico_batch


class CutError(Exception):
    pass


@dataclass
class Memory:
    """Keeps everything, and cuts a run short after so many parts."""

    cut_after: int = 10**9
    parts: dict[str, Tensor] = field(default_factory=dict)
    new: int = 0

    def get(self, name: str) -> Tensor | None:
        return self.parts.get(name)

    def put(self, name: str, values: Tensor) -> None:
        if self.new == self.cut_after:
            raise CutError
        self.new += 1
        self.parts[name] = values.clone()

    def drop(self, name: str) -> None:
        self.parts.pop(name, None)


def run(settings: Settings, kept: Memory | None, stop: Any = None) -> Any:
    model, batches = pico("bert"), [pico_batch("bert"), pico_batch("bert", seed=1)]
    modules = find_modules(model, ["query", "up"])
    return score_modules(model, batches, modules, settings, stop=stop, kept=kept)


EXACT: list[tuple[Exact, float | None]] = [
    (Exact(trials=3), None),
    (Exact(trials=3, pairs="disjoint", output="last_hidden"), None),
    (Exact(trials=4, reference="pristine"), None),
    (Exact(trials=6), 0.35),
    (Exact(trials=3), 1e-9),
]


@pytest.mark.parametrize(("settings", "error"), EXACT)
@pytest.mark.parametrize("cut_after", [3])
@pytest.mark.parametrize("per_pass", [1, 4])
def test_exact_scores_cut_short_are_the_undisturbed_ones(
    settings: Exact,
    error: float | None,
    cut_after: int,
    per_pass: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adarank.scoring.estimators.exact.draws_per_pass", lambda *_: per_pass)
    whole = run(settings, None, stop_rule(error, None))
    kept, cuts = Memory(cut_after), 0
    while True:
        try:
            pieced = run(settings, kept, stop_rule(error, None))
            break
        except CutError:
            cuts, kept.new = cuts + 1, 0
    assert cuts >= 2
    assert pieced.table.equals(whole.table) and pieced.forwards == whole.forwards
    assert not [name for name in kept.parts if name.startswith("outputs")]


@pytest.mark.parametrize("settings", [Linearized(sketches=3), AsPublished(trials=2)])
def test_so_are_those_of_the_other_estimators(settings: Settings) -> None:
    whole, kept, cuts = run(settings, None), Memory(2), 0
    while True:
        try:
            pieced = run(settings, kept)
            break
        except CutError:
            cuts, kept.new = cuts + 1, 0
    assert cuts >= 2 and pieced.table.equals(whole.table)


@pytest.mark.parametrize("settings", [Exact(trials=2), Linearized(), AsPublished(trials=2)])
def test_what_is_kept_is_not_computed_again(settings: Settings) -> None:
    kept = Memory()
    whole = run(settings, kept)
    kept.cut_after = kept.new
    assert run(settings, kept).table.equals(whole.table)


def test_other_passes_are_other_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Memory()
    for per_pass in (1, 4):
        monkeypatch.setattr(
            "adarank.scoring.estimators.exact.draws_per_pass", lambda *_, n=per_pass: n
        )
        run(Exact(trials=2), kept)
    assert len(kept.parts) == 2 * 4
