"""Empirical Fisher information: how strongly single rows pull at a module's weights."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from adarank.models.modules import Module
from adarank.models.terms import Batch, rows_of
from adarank.scoring.scores import Scores
from adarank.scoring.signals.gradients import check_gradient, only_gradients_of
from adarank.scoring.signals.objective import OWN, Objective, count_terms
from adarank.scoring.signals.row_norms import RowNorms
from adarank.scoring.signals.weights import weights_of
from adarank.scoring.table import score_table


def fisher(
    model: nn.Module,
    batches: Sequence[Batch],
    modules: Sequence[Module],
    objective: Objective = OWN,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Score modules by the mean squared gradient of single rows.

    The diagonal of the empirical Fisher information (the labels being the data's own; Kunstner,
    Balles & Hennig 2019, arXiv 1905.12558), averaged over the module's entries:
    score = mean over rows r and entries ij of (d l_r / d W_ij)^2.

    l_r is the row's part in the mean loss L = mean over r of l_r. Where each row has one label
    that is its own loss; where the loss is a mean over N tokens of R rows, it is
    l_r = (R / N) * the sum of the row's token losses: long rows weigh as they do in training.
    Rows packed into one sequence count as one row. Needs labels.

    Args:
        model: A transformers model with its head; set to evaluation mode, else left as it was.
        batches: Labelled train rows; how they are divided into batches does not matter.
        modules: What to score.
        objective: The loss; the model's own unless given.
        advance: Called after each batch.

    Returns:
        One trial per module. `engine` says whether rows were separated within a batch's
        backward, or each had its own; see RowNorms.

    Raises:
        InputError: Nothing labelled.
        RunError: A loss or a gradient is not finite.
    """
    model.eval()
    weights = weights_of(model, modules)
    terms = sum(count_terms(model, batches, objective))
    norms = RowNorms(model, modules, objective)
    total = np.zeros(len(modules))
    with only_gradients_of(model, weights):
        for batch in batches:
            total += norms(batch).sum(axis=1)
            advance()
    for module, square in zip(modules, total, strict=True):
        check_gradient(module, bool(np.isfinite(square)))
    rows = sum(map(rows_of, batches))
    # The mean over rows of (rows / terms)^2 times the square, spread over the entries.
    scores = total * rows / terms**2 / np.array([weight.numel() for weight in weights])
    return Scores(score_table(modules, scores[:, None]), norms.engine, norms.forwards)
