"""Few exact draws on few texts: alone, and as a correction of the linearized shares.

The linearized score errs by curvature, a factor of each module's own. A few exact draws on a part
of the probe estimate that factor, r_m = exact / linearized on the same texts, each with an error of
its own. The correction is the factors' posterior mean under log r_m ~ N(mu, tau^2), mu and tau
estimated from all modules (empirical Bayes): factors that the draws do not tell apart stay equal.
"""

from unittest.mock import patch

import numpy as np

from adarank.scoring.estimators import gradient_norms
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.outputs import Batch
from adarank.scoring.table import summary
from bench.agreement import module_means
from bench.subjects import Subject

_EVERY = 4  # of the texts, sorted by length
_TRIALS = 2


def few_texts(subject: Subject) -> Batch:
    """Take every fourth text of the probe, of all lengths, as one batch."""
    part = {name: values[::_EVERY] for name, values in subject.whole.items()}
    longest = int(part["attention_mask"].sum(dim=1).max())
    return {name: values[:, :longest] for name, values in part.items()}


def few_draws(subject: Subject, seed: int) -> np.ndarray:
    """Score by two exact trials on a quarter of the texts, shape (n_modules,)."""
    settings = Exact(trials=_TRIALS, seed=seed)
    found = exact(subject.model, [few_texts(subject)], subject.modules, settings)
    return module_means(found.table)


def corrected(subject: Subject, seed: int) -> np.ndarray:
    """Correct linearized scores by two exact trials on a quarter of the texts, (n_modules,)."""
    model, part, settings = subject.model, few_texts(subject), Linearized(seed=seed)
    whole = module_means(linearized(model, subject.batches, subject.modules, settings))
    on_part = module_means(linearized(model, [part], subject.modules, settings))
    draws = exact(model, [part], subject.modules, Exact(trials=_TRIALS, seed=seed)).table
    few = module_means(draws)
    # The modules' errors are estimated from four draws each: their mean is steadier.
    table = summary(draws)
    error = float(np.mean((table["standard_error"] / table["mean"]) ** 2))
    return whole * np.exp(shrunk(np.log(few / on_part), error))


def shrunk(logs: np.ndarray, error: float) -> np.ndarray:
    """Shrink values of equal error variance towards their mean, as far as that explains them."""
    mean = logs.mean()
    spread = max(float(logs.var(ddof=1)) - error, 0.0)
    return mean + (logs - mean) * (spread / (spread + error) if spread else 0.0)


def with_whole_gradients(subject: Subject, seed: int) -> np.ndarray:
    """Score by linearized with every weight's gradient made, as before norms came from tokens."""
    with patch.object(gradient_norms, "replaceable", lambda _: False):
        table = linearized(subject.model, subject.batches, subject.modules, Linearized(seed=seed))
    return module_means(table)
