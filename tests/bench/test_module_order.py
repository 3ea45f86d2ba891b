"""The module-order benchmark: leaving one model out, on models whose order is planted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import module_order
from bench.module_order import DEPTH, LINEAR, SORTNET, STABLE, left_out
from bench.module_scores import Scored, scored


def planted(name: str, n: int, seed: int) -> Scored:
    rng = np.random.default_rng(seed)
    names = ["depth", "stable_rank", "other", "log_in", "log_out"]
    features = pd.DataFrame(rng.normal(size=(n, 5)), columns=names)
    clean = np.exp(-features["depth"].to_numpy() + features["other"].to_numpy())
    trials = clean[:, None] * np.exp(0.01 * rng.normal(size=(n, 4)))
    return Scored(name, features, trials, 0.0, 0.0)


def test_what_is_planted_is_found_on_the_model_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_order, "SEEDS", range(2))
    models = [planted(f"m{seed}", 40, seed) for seed in range(4)]
    row = left_out(models[0], models)
    found = {name: values["spearman"][0] for name, values in row["methods"].items()}
    assert found[LINEAR] > 0.99 and found[SORTNET] > 0.95
    assert 0.4 < found[DEPTH] < 0.9  # its direction is learned: fewer is more
    assert abs(found[STABLE]) < 0.5
    assert row["two_halves"] > 0.99
    distance = {name: values["distance"][0] for name, values in row["methods"].items()}
    assert distance[LINEAR] < distance[DEPTH] < row["uniform_distance"] + 0.2


def test_a_model_folder_is_scored_once_and_kept(pico_model: Path, tmp_path: Path) -> None:
    first = scored(pico_model, tmp_path, trials=2)
    assert first.trials.shape == (len(first.features), 2)
    assert first.shares.sum() == pytest.approx(1)
    again = scored(pico_model, tmp_path, trials=2)
    np.testing.assert_array_equal(first.trials, again.trials)
    pd.testing.assert_frame_equal(first.features, again.features)


def test_a_probe_beside_the_model_is_used(pico_model: Path, tmp_path: Path) -> None:
    default = scored(pico_model, tmp_path / "one", trials=2)
    (pico_model / "probe.txt").write_text("who is the king\nhow many trees\n")
    try:
        own = scored(pico_model, tmp_path / "two", trials=2)
    finally:
        (pico_model / "probe.txt").unlink()
    assert not np.allclose(default.trials, own.trials)
