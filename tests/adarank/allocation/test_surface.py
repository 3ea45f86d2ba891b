"""The response surface: found again where it is true, honest where plans are left out."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from adarank.allocation.allocate import allocate
from adarank.allocation.signal import ABOUT_MODULE
from adarank.allocation.surface import (
    RIDGES,
    as_scores,
    explained,
    fit_surface,
    resampled_weights,
)
from adarank.errors import InputError
from tests.tables import BERT, score_table

WORTH = np.array([0.0, 0.1, 0.3, 0.02, 0.2, 0.05])


def plans(n: int, seed: int = 0) -> pd.DataFrame:
    draws = np.random.default_rng(seed).integers(0, 4, size=(n, 6))
    return pd.DataFrame(draws, columns=list("abcdef"))


def test_a_true_surface_is_found_again():
    ranks = plans(40)
    losses = 2.0 - np.sqrt(ranks.to_numpy()) @ WORTH
    surface = fit_surface(ranks[list("fbdeca")], losses)
    assert surface.modules == tuple("abcdef")
    assert surface.weights == pytest.approx(WORTH, abs=1e-3)
    assert surface.predict(ranks.to_numpy()) == pytest.approx(losses, abs=1e-3)
    assert explained(losses, surface.left_out) > 0.999


def test_noise_alone_explains_no_plan_left_out():
    rng = np.random.default_rng(1)
    shares = [
        explained(y, fit_surface(plans(30, k), y).left_out)
        for k in range(5)
        for y in [rng.normal(size=30)]
    ]
    assert np.mean(shares) < 0.05


def test_a_plan_left_out_has_no_part_in_its_own_prediction():
    ranks, rng = plans(12), np.random.default_rng(2)
    losses = rng.normal(size=12)
    changed = losses.copy()
    changed[3] += 100.0
    assert fit_surface(ranks, losses).left_out[3] == fit_surface(ranks, changed).left_out[3]


def test_ridge_is_that_of_sklearn_at_the_strength_that_leaves_one_out_best():
    ranks, rng = plans(15), np.random.default_rng(3)
    features = np.sqrt(ranks.to_numpy(dtype=float))
    losses = 2.0 - features @ WORTH + rng.normal(scale=0.05, size=15)

    def error(strength: float) -> float:
        rows = np.arange(15)
        kept = [(rows != k, k) for k in rows]
        models = [(Ridge(alpha=strength).fit(features[m], losses[m]), k) for m, k in kept]
        return float(sum((model.predict(features[[k]])[0] - losses[k]) ** 2 for model, k in models))

    surface = fit_surface(ranks, losses)
    assert surface.ridge == min(RIDGES, key=error)
    assert surface.weights == pytest.approx(-Ridge(alpha=surface.ridge).fit(features, losses).coef_)


def test_resampled_weights_spread_about_the_fitted_ones():
    ranks, rng = plans(60), np.random.default_rng(4)
    losses = 2.0 - np.sqrt(ranks.to_numpy()) @ WORTH + rng.normal(scale=0.05, size=60)
    surface = fit_surface(ranks, losses)
    drawn = resampled_weights(ranks, losses, surface.ridge, draws=200)
    assert drawn.shape == (200, 6)
    assert np.all(np.abs(drawn.mean(axis=0) - surface.weights) < 2 * drawn.std(axis=0))


@pytest.mark.parametrize("losses", [[1.0, 2.0, 3.0], [1.0, 2.0, np.inf, 3.0]])
def test_too_few_or_diverged_runs_are_refused(losses):
    with pytest.raises(InputError, match="no surface can be fitted"):
        fit_surface(plans(len(losses)), np.array(losses))


def test_measured_plans_are_the_best_of_all_plans_by_the_surface():
    table = score_table(BERT, 1)
    about = table[["module", *ABOUT_MODULE]].sort_values("module", ignore_index=True)
    names, costs = about["module"].tolist(), about["parameters_per_rank"].to_numpy()
    ranks = plans(40).set_axis(names, axis=1)
    surface = fit_surface(ranks, 2.0 - np.sqrt(ranks.to_numpy()) @ (WORTH * costs / 1536))
    scores = {"measured": as_scores(surface, about, most=3)}
    plan = allocate(scores, budget=1, strategy="measured", min_rank=0, max_rank=3)
    every = np.array(list(product(range(4), repeat=6)))
    affordable = every[every @ costs <= costs.sum()]
    best = surface.predict(affordable).min()
    chosen = surface.predict(np.array([[plan.ranks[name] for name in names]]))[0]
    assert plan.parameters <= costs.sum()
    assert chosen == pytest.approx(best, abs=0.03 * (surface.predict(affordable).max() - best))


def test_nothing_is_known_beyond_the_ranks_that_were_tried():
    table = score_table(BERT, 1)
    about = table[["module", *ABOUT_MODULE]].sort_values("module", ignore_index=True)
    ranks = plans(40).set_axis(about["module"].tolist(), axis=1)
    surface = fit_surface(ranks, 2.0 - np.sqrt(ranks.to_numpy()) @ (WORTH + 0.1))
    with pytest.raises(InputError, match="more ranks than the signal has values for"):
        allocate({"measured": as_scores(surface, about, 3)}, budget=8, strategy="measured")
