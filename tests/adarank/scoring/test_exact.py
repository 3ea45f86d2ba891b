"""The exact estimator against the plain loop, on every architecture."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from transformers import BertConfig, BertModel

from adarank.allocation.allocate import allocate
from adarank.errors import InputError, RunError
from adarank.models.modules import Module, find_modules
from adarank.scoring import noise as noise_of
from adarank.scoring.engines import proof
from adarank.scoring.engines.forwards import FullForwards
from adarank.scoring.engines.replay import Replay
from adarank.scoring.estimators import exact as exact_of
from adarank.scoring.estimators.disagreement import disagreement
from adarank.scoring.estimators.distance import distances, trial_scores
from adarank.scoring.estimators.exact import Exact, exact, exact_part
from adarank.scoring.noise import Noise, draw
from adarank.scoring.outputs import compared_output
from adarank.scoring.table import score_table, summary
from tests.adarank.scoring.test_kept import Memory
from tests.architectures import CONFIGS, pico, pico_batch

ALBERT_REPLAYS_LITTLE = "albert"


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("output", ["pooled", "last_hidden"])
def test_equals_the_plain_loop_trial_by_trial(name: str, output: str) -> None:
    model, batches = pico(name), [pico_batch(name), pico_batch(name, seed=1)]
    modules = find_modules(model)
    plain = disagreement(model, batches, modules, trials=2, output=output)
    fast = exact(model, batches, modules, Exact(trials=2, output=output, pairs="disjoint"))
    assert fast.engine.startswith("replay"), f"replay was not proven for {name}"
    assert fast.table.drop(columns="score").equals(plain.drop(columns="score"))
    assert np.allclose(fast.table["score"], plain["score"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_earlier_parts_really_are_not_computed_again(name: str) -> None:
    model = pico(name)
    modules = find_modules(model)
    last = [module for module in modules if module.block == modules[-1].block]
    engine = Replay(model, pico_batch(name), "pooled", trim=False)
    engine.enter(modules[:1])
    engine.enter(last)
    ran: list[str] = []
    for part_name, part in model.named_modules():
        part.register_forward_hook(lambda *_, n=part_name: ran.append(n))
    layer = model.get_submodule(last[-1].name)
    engine.outputs(last[-1], [draw(layer, Noise(), seed=0, name="x", index=0)])
    linears = [m.name for m in modules]
    # A stub is entered but its inside is not: no linear layer but the disturbed one may run.
    ran_linears = set(ran) & set(linears)
    earlier = {m.name for m in modules if m.block < last[0].block}
    assert not ran_linears & earlier
    assert last[-1].name in ran_linears


def test_a_batch_of_draws_equals_single_draws() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    module = find_modules(model)[3]
    layer = model.get_submodule(module.name)
    draws = [draw(layer, Noise(), seed=0, name=module.name, index=i) for i in range(5)]
    engine = Replay(model, batch, "pooled", trim=True)
    engine.enter([module])
    together = engine.outputs(module, draws)
    alone = torch.cat([engine.outputs(module, [one]) for one in draws])
    assert together.shape == (5, 3, 32)
    assert torch.allclose(together, alone, atol=1e-6)


def test_nothing_of_the_model_is_left_changed() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exact(model, [batch], find_modules(model), Exact(trials=2))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any("forward" in part.__dict__ for part in model.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_all_pairs_equal_a_plain_loop_over_all_pairs() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    module = find_modules(model)[2]
    layer = model.get_submodule(module.name)
    outputs = []
    for index in range(6):
        noise = draw(layer, Noise(), seed=0, name=module.name, index=index)
        kept = layer.weight.data, layer.bias.data
        layer.weight.data, layer.bias.data = kept[0] + noise.weight, kept[1] + noise.bias
        with torch.no_grad():
            outputs.append(compared_output(model, batch, "pooled"))
        layer.weight.data, layer.bias.data = kept
    pairs = [float((a - b).abs().mean()) for a, b in combinations(outputs, 2)]
    found = exact(model, [batch], [module], Exact(trials=3)).table["score"].mean()
    assert found == pytest.approx(np.mean(pairs), rel=1e-5)


def test_all_pairs_have_less_error_than_disjoint_ones_and_say_how_much() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)[:1]
    errors = {"all": [], "disjoint": []}
    means = {"all": [], "disjoint": []}
    for pairs in ("all", "disjoint"):
        for seed in range(60):
            table = exact(model, [batch], modules, Exact(trials=4, pairs=pairs, seed=seed)).table
            row = summary(table).iloc[0]
            means[pairs].append(row["mean"])
            errors[pairs].append(row["standard_error"] ** 2)
    for pairs in ("all", "disjoint"):
        assert np.mean(errors[pairs]) == pytest.approx(np.var(means[pairs], ddof=1), rel=0.5)
    assert np.var(means["all"]) < 0.85 * np.var(means["disjoint"])


@given(hnp.arrays(np.float64, (6, 6), elements=st.floats(0.1, 10)))
@settings(deadline=None)
def test_pseudo_values_average_to_the_u_statistic(noise: np.ndarray) -> None:
    pairwise = np.triu(noise, 1) + np.triu(noise, 1).T
    assert trial_scores(pairwise, "all").mean() == pytest.approx(pairwise.sum() / 30)
    assert trial_scores(pairwise, "disjoint").tolist() == [
        pairwise[0, 1],
        pairwise[2, 3],
        pairwise[4, 5],
    ]


def test_distances_equal_their_definitions() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4, 7, generator=generator), torch.randn(3, 4, 7, generator=generator)
    for i in range(2):
        for j in range(3):
            p, q = a[i].softmax(-1), b[j].softmax(-1)
            kl = 0.5 * ((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
            assert distances(a, b, "kl")[i, j].item() == pytest.approx(kl.item(), rel=1e-5)
            l1 = (a[i] - b[j]).abs().mean(-1).sum()
            assert distances(a, b, "l1")[i, j].item() == pytest.approx(l1.item(), rel=1e-5)
            l2 = ((a[i] - b[j]) ** 2).mean(-1).sqrt().sum()
            assert distances(a, b, "l2")[i, j].item() == pytest.approx(l2.item(), rel=1e-5)


def test_pristine_reference_compares_with_the_undisturbed_model() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    module = find_modules(model)[0]
    layer = model.get_submodule(module.name)
    table = exact(model, [batch], [module], Exact(trials=2, reference="pristine")).table
    with torch.no_grad():
        pristine = compared_output(model, batch, "pooled")
        noise = draw(layer, Noise(), seed=0, name=module.name, index=1)
        layer.weight.data, layer.bias.data = layer.weight + noise.weight, layer.bias + noise.bias
        moved = compared_output(model, batch, "pooled")
    assert table["score"][1] == pytest.approx((moved - pristine).abs().mean().item(), rel=1e-5)


def test_stops_when_told_and_keeps_what_it_has() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)
    asked: list[int] = []

    def stop(table: pd.DataFrame) -> bool:
        asked.append(len(table) // len(modules))
        return len(asked) == 2

    stopped = exact(model, [batch], modules, Exact(trials=9), stop=stop)
    whole = exact(model, [batch], modules, Exact(trials=4))
    assert asked == [3, 4] and stopped.trials == 4
    assert np.allclose(stopped.table["score"], whole.table["score"], rtol=1e-6)


def test_a_model_that_cannot_be_replayed_gets_full_forwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(Replay):
        def outputs(self, *args: object, **kwargs: object) -> torch.Tensor:
            return super().outputs(*args, **kwargs) * 1.001

    monkeypatch.setattr(proof, "Replay", Broken)
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)[:3]
    found = exact(model, [batch], modules, Exact(trials=1))
    assert found.engine == "full forwards"
    assert np.allclose(
        found.table["score"], disagreement(model, [batch], modules, trials=1)["score"]
    )


def test_a_memory_bound_below_one_draw_says_what_is_needed() -> None:
    model = pico("bert")
    with pytest.raises(InputError, match=r"at least 0\.\d+ GiB"):
        exact(model, [pico_batch("bert")], find_modules(model), Exact(memory_gb=1e-6))


def test_a_memory_bound_gives_the_same_scores() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)[:3]
    tables = [exact(model, [batch], modules, Exact(memory_gb=gb)).table for gb in (2e-4, None)]
    assert np.allclose(tables[0]["score"], tables[1]["score"], rtol=1e-6)


def test_a_disturbed_output_that_is_not_finite_names_the_module() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)
    noise = Noise(1e38, "absolute")
    with pytest.raises(RunError, match=r"encoder\.layer\.0"):
        exact(model, [batch], modules, Exact(noise=noise))


def _never(_table: pd.DataFrame) -> bool:
    return False


def test_outputs_beyond_the_bound_are_made_again_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, batches = pico("bert"), [pico_batch("bert")]
    modules, made = find_modules(model)[:4], Exact(trials=4, output="last_hidden")
    whole = exact(model, batches, modules, made, stop=_never).table
    held: list[int] = []
    inner = exact_of._Comparisons._hold

    def hold(self: exact_of._Comparisons, name: str) -> None:
        self._bound = 0
        inner(self, name)
        held.append(len(self._outputs))

    monkeypatch.setattr(exact_of._Comparisons, "_hold", hold)
    assert exact(model, batches, modules, made, stop=_never).table.equals(whole)
    assert set(held) == {0}


def test_a_module_s_deviation_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = pico("bert"), [pico_batch("bert")]
    modules = find_modules(model)[:2]
    asked: list[int] = []
    plain = noise_of.deviation

    def counted(tensor: torch.Tensor, noise: Noise) -> float:
        asked.append(id(tensor))
        return plain(tensor, noise)

    full = lambda batch: FullForwards(model, batch, "pooled")  # noqa: E731
    monkeypatch.setattr(noise_of, "deviation", counted)
    monkeypatch.setattr(exact_of, "proven_engine", lambda *_: ("full forwards", full))
    exact(model, batches, modules, Exact(trials=5))
    assert len(asked) == 2 * len(modules)  # weight and bias, whatever the number of draws


def test_kl_of_all_pairs_gives_scores_that_a_plan_takes() -> None:
    # Symmetric KL breaks the triangle inequality, so a trial's pseudo-value may be negative.
    generator = torch.Generator().manual_seed(0)
    module = Module("block.0", 0, "query", 16, 2)
    lowest = 0.0
    for _ in range(20):
        logits = 4 * torch.randn(40, 1, 2, generator=generator)
        trials = trial_scores(distances(logits, logits, "kl").numpy(), "all")
        lowest = min(lowest, float(trials.min()))
        table = score_table([module], trials[None])
        assert allocate({"disagreement": table}, budget=1).parameters == 18
    assert lowest < 0
    with pytest.raises(InputError, match="mean score is negative"):
        allocate({"disagreement": score_table([module], -trials[None])}, budget=1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("shares", [2, 7])
def test_shares_have_the_bits_of_the_whole_with_two_threads_too(shares: int) -> None:
    # With two threads a product's last bits depend on what is replayed beside it.
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99,
        hidden_size=312,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=1200,
    )
    model, ids = BertModel(config).eval(), torch.arange(5, 12)[None]
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)}]
    modules, chosen, kept = find_modules(model), Exact(trials=3, memory_gb=1.0), Memory()
    for number in range(shares):
        exact_part(model, batches, modules, chosen, modules[number::shares], kept=kept)
    assert len(kept.parts) == len(modules)
    whole = exact(model, batches, modules, chosen).table
    assert exact(model, batches, modules, chosen, kept=kept).table.equals(whole)
