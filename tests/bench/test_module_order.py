"""The module-order benchmark: leaving one model out, on models whose order is planted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from adarank.ordering.learned import TrainingModel
from adarank.ordering.stored_order import load_order, to_json
from bench import module_order, ship_order
from bench.agreement import spearman
from bench.module_order import DEPTH, LINEAR, SORTNET, STABLE, left_out
from bench.module_scores import Scored, scored
from bench.ship_order import learn


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


def test_a_comparator_is_shipped_from_a_table_byte_for_byte() -> None:
    models = [planted(f"m{seed}", 30, seed) for seed in range(3)]
    for model in models:
        model.features["constant"] = 2.0
    described = [TrainingModel(model.name, "made up", ("query",), ("00",)) for model in models]
    text, again = (to_json(learn(models, described)) for _ in range(2))
    assert text == again
    order = json.loads(text)
    assert order["features"] == list(models[0].features)
    assert order["about"]["features_without_weight"] == ["constant"]
    constant = order["features"].index("constant")
    assert set(order["first"][constant]) == set(order["second"][constant]) == {0.0}
    changed = replace(models[0], trials=models[0].trials * [1.0, 1.0, 1.0, 1.1])
    other = json.loads(to_json(learn([changed, *models[1:]], described)))
    assert other["about"]["training_table_sha256"] != order["about"]["training_table_sha256"]


def test_what_is_shipped_orders_a_model_it_has_not_seen(tmp_path: Path) -> None:
    models = [planted(f"m{seed}", 40, seed) for seed in range(4)]
    (tmp_path / "order.json").write_text(to_json(learn(models[1:], [])))
    order = load_order(tmp_path / "order.json")
    shares = order.shares(order.margins(models[0].features))
    assert spearman(shares, models[0].shares) > 0.95


def test_a_model_of_unknown_origin_is_not_shipped(pico_model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(ship_order.app, [str(pico_model), "--cache", str(tmp_path)])
    assert result.exit_code == 2 and "source.txt" in result.output
    assert not list(tmp_path.iterdir())


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
