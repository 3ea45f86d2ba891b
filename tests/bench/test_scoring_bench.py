"""The benchmark's code on a pico model: right figures, whatever the speed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from adarank.scoring.estimators.linearized import Linearized, linearized
from bench import scoring
from bench.agreement import module_means, spearman, total_variation
from bench.converged import moments
from bench.corrected import shrunk, with_whole_gradients
from bench.measure import Effort
from bench.peak import Ledger, activation_bytes, largest_gradient_bytes, peak_memory_ratio
from bench.rivals import gradient_times_weight, one_at_a_time
from bench.subjects import Subject, pretrained, random_like
from bench.timing import interleaved

KEYS = [
    "exact_speedup",
    "exact_error",
    "linearized_speedup",
    "linearized_distance",
    "linearized_spearman",
    "linearized_forwards",
    "whole_gradients_forwards",
    "corrected_distance",
    "corrected_forwards",
    "depth_growth",
    "mixed_lengths_spread",
    "peak_memory_ratio",
    "padding_speedup",
]
PICO = Effort(rows=8, batch_size=4, dear=1, cheap=1, trials=4, depths=(2, 4))


@pytest.fixture(scope="module")
def subject(pico_model: Path) -> Subject:
    return pretrained(pico_model, PICO.rows, PICO.batch_size, torch.device("cpu"))


def test_the_command_prints_one_line_of_every_figure(
    pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "QUICK", PICO)
    monkeypatch.chdir(tmp_path)
    command = ["--json", "--quick", "--device", "cpu", "--model", str(pico_model)]
    result = CliRunner().invoke(scoring.app, command)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    figures = json.loads(line)
    assert list(figures) == KEYS
    assert all(math.isfinite(value) and value > 0 for value in figures.values()), figures
    assert figures["exact_error"] <= 1e-5
    assert figures["linearized_distance"] <= 0.3
    assert figures["linearized_spearman"] <= 1
    assert "random, 4 blocks" in result.stderr


def test_moments_of_gaussian_draws_are_the_known_ones() -> None:
    # |X - Y| of standard normals: mean 2/sqrt(pi), variance 2 - 4/pi; two that share X have
    # E = (4/pi)(sin(pi/3) + (pi/6)/2).
    draws = np.random.default_rng(0).standard_normal(3000)
    mean, zeta1, zeta2 = moments(np.abs(draws[:, None] - draws[None]))
    assert mean == pytest.approx(2 / math.sqrt(math.pi), rel=0.03)
    assert zeta2 == pytest.approx(2 - 4 / math.pi, rel=0.05)
    shared = 4 / math.pi * (math.sin(math.pi / 3) + math.pi / 12)
    assert zeta1 == pytest.approx(shared - 4 / math.pi, rel=0.1)


def test_moments_are_unbiased_for_few_draws() -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(4000):
        draws = generator.standard_normal(5)
        found.append(moments(np.abs(draws[:, None] - draws[None])))
    assert np.mean(found, axis=0) == pytest.approx([1.1284, 0.1628, 0.7268], rel=0.05)


def test_total_variation_ignores_the_scale() -> None:
    scores = np.array([1.0, 1.0, 2.0])
    assert total_variation(scores, 7 * scores) == pytest.approx(0)
    assert total_variation(scores, np.array([2.0, 1.0, 1.0])) == pytest.approx(0.25)
    assert spearman(scores, -scores) == pytest.approx(-1)


def test_tasks_take_turns() -> None:
    order: list[tuple[str, int]] = []
    tasks = {name: (lambda k, n=name: order.append((n, k)) or k * 10) for name in ("a", "b")}
    timed = interleaved(tasks, 2, warm=True)
    assert order == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert timed["a"].results == [0, 10] and len(timed["b"].seconds) == 2


def test_the_ledger_counts_what_lives_at_once() -> None:
    given = torch.zeros(1000)
    with Ledger() as ledger:
        first = given + 1
        second = first.view(10, 100) * 2
        first.add_(1)
        assert (ledger.now, ledger.peak) == (8000, 8000)
        del first
        third = second + 1
        assert (ledger.now, ledger.peak) == (8000, 8000)
        fourth = third + 1
        del second, third, fourth
        assert (ledger.now, ledger.peak) == (0, 12000)


def test_the_ledger_counts_what_autograd_keeps() -> None:
    weight = torch.ones(1000, requires_grad=True)
    with Ledger() as ledger:
        loss = (weight * 2).exp().exp().sum()
        assert ledger.now == 8004  # both exponentials, and the sum
        loss.backward()
        assert ledger.peak > 8004
        del loss
        assert ledger.now == 4000  # the gradient
    assert weight.grad is not None


def test_memory_is_counted_against_a_training_step(subject: Subject) -> None:
    batch = max(subject.batches, key=lambda part: part["input_ids"].numel())
    rows = batch["input_ids"].numel()
    # Two blocks save at least query, key, value and both feed-forward activations.
    assert activation_bytes(subject.model, batch) > 2 * rows * (3 * 32 + 2 * 64) * 4
    assert largest_gradient_bytes(subject) == (32 * 64 + 64) * 4
    assert 0.3 < peak_memory_ratio(subject) < 2
    assert all(parameter.grad is None for parameter in subject.model.parameters())


def test_a_random_model_has_the_shapes_and_another_depth(subject: Subject) -> None:
    deep = random_like(subject, 3)
    assert deep.n_blocks == 3 and subject.n_blocks == 2
    shapes = {(m.kind, m.d_in, m.d_out) for m in subject.modules}
    assert {(m.kind, m.d_in, m.d_out) for m in deep.modules} == shapes


def test_values_are_shrunk_by_their_share_of_error() -> None:
    logs = np.array([-1.0, 0.0, 1.0])
    assert shrunk(logs, 0.25) == pytest.approx(0.75 * logs)
    assert shrunk(logs + 2, 3.0) == pytest.approx(np.full(3, 2.0))


def test_whole_gradients_estimate_the_same(subject: Subject) -> None:
    found = [with_whole_gradients(subject, seed) for seed in range(20)]
    settings = [Linearized(seed=seed) for seed in range(20)]
    tables = [linearized(subject.model, subject.batches, subject.modules, s) for s in settings]
    wanted = np.mean([module_means(table) for table in tables], axis=0)
    assert not np.array_equal(found[0], module_means(tables[0]))
    assert np.mean(found, axis=0) == pytest.approx(wanted, rel=0.15)


def test_rivals_score_every_module(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    rivals = [*one_at_a_time(subject, 0).values(), gradient_times_weight(subject)]
    for scores in rivals:
        assert scores.shape == (12,) and np.all(scores > 0)
    after = subject.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
