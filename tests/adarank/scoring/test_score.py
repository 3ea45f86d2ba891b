"""One door to the estimators: variants, what is shared out, what was published."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from adarank.errors import InputError
from adarank.models.modules import Module, find_modules
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.precision import to_bfloat16
from adarank.scoring.estimators.published import AsPublished, as_published
from adarank.scoring.estimators.stopping import nearest_ranks, stop_rule
from adarank.scoring.noise import Noise, draw, global_deviation
from adarank.scoring.outputs import compared_output
from adarank.scoring.probe import make_probe
from adarank.scoring.score import score, score_modules
from adarank.scoring.table import score_table
from tests.architectures import pico, pico_batch
from tests.pico import pico_tokenizer


def test_texts_and_ready_batches_score_alike() -> None:
    model, texts = pico("bert"), ["who is the king", "what river", "where is the old city ?"]
    tokenizer = pico_tokenizer()
    tokenizer.model_max_length = 37
    model.resize_token_embeddings(len(tokenizer))
    ready = make_probe(texts, tokenizer).batches
    by_text = score(model, texts, tokenizer, trials=2)
    by_batch = score(model, ready, trials=2)
    assert by_text.equals(by_batch)
    assert len(by_text) == 12 * 2


def test_global_noise_is_absolute_noise_of_the_global_deviation() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)
    deviation = global_deviation([model.get_submodule(m.name) for m in modules])
    tables = [
        score_modules(model, [batch], modules, Exact(trials=1, noise=noise)).table
        for noise in (Noise(0.5, "global"), Noise(0.5 * deviation, "absolute"))
    ]
    assert tables[0].equals(tables[1])


def test_as_published_piles_noise_up() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    modules = find_modules(model)[:3]
    table = as_published(model, [batch], modules, AsPublished(trials=2))
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        pristine = compared_output(model, batch, "pooled")
        plain = []
        for module in modules:
            layer = noisy.get_submodule(module.name)
            for trial in range(2):
                noise = draw(layer, Noise(), seed=0, name=module.name, index=trial)
                layer.weight += noise.weight
                layer.bias += noise.bias
                moved = compared_output(noisy, batch, "pooled")
                plain.append(float((moved - pristine).abs().mean()))
    assert np.allclose(table["score"], plain, rtol=1e-6)


def test_as_published_restores_the_weights() -> None:
    model = pico("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    as_published(model, [pico_batch("bert")], find_modules(model), AsPublished(trials=1))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_unknown_estimator_and_missing_tokenizer_are_refused() -> None:
    model = pico("bert")
    with pytest.raises(InputError, match="exact, linearized, as_published"):
        score(model, ["a text"], estimator="fast")
    with pytest.raises(InputError, match="tokenizer"):
        score(model, ["a text"])


@pytest.mark.parametrize("texts", [[], ["who", "  "]])
def test_an_empty_probe_is_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="empty"):
        make_probe(texts, pico_tokenizer())


def test_long_texts_are_cut_and_counted() -> None:
    probe = make_probe(["who is the king", "what river"], pico_tokenizer(), max_length=5)
    assert probe.truncated == 1
    assert max(batch["input_ids"].shape[1] for batch in probe.batches) == 5


def test_batches_are_sorted_by_length_and_equal() -> None:
    texts = ["who is the king of the city", "what", "where is it", "how many", "when did"]
    probe = make_probe(texts, pico_tokenizer(), batch_size=3)
    shapes = [tuple(batch["input_ids"].shape) for batch in probe.batches]
    assert shapes == [(3, 4), (2, 9)]


def test_bfloat16_stays_near_float32_and_says_how_near() -> None:
    model, batch = pico("bert"), pico_batch("bert")
    error = to_bfloat16(model, [batch], find_modules(model), Exact(trials=2))
    assert next(model.parameters()).dtype == torch.bfloat16
    assert 0 < error < 0.1


def _table(trials: list[list[float]]) -> pd.DataFrame:
    modules = [Module(f"m{block}", block, "query", 5, 5) for block in range(len(trials))]
    return score_table(modules, np.array(trials))


def test_nearest_ranks_are_the_rounded_proportions() -> None:
    # Weights 1 : 3 at average rank 4 over two equal modules: 2 and 6.
    assert nearest_ranks(_table([[1.0], [3.0]]), 4) == [2, 6]


def test_stop_rule_on_the_plan_waits_for_two_equal_plans() -> None:
    stop = stop_rule(None, 4)
    assert stop is not None
    scores = ((1.0, 3.0), (3.0, 1.0), (3.0, 1.01), (1.0, 1.0))
    answers = [stop(_table([[a], [b]])) for a, b in scores]
    assert answers == [False, False, True, False]


def test_stop_rule_on_the_error_waits_for_every_module() -> None:
    stop = stop_rule(0.1, None)
    assert stop is not None
    assert not stop(_table([[1.0, 1.0], [1.0, 2.0]]))
    assert stop(_table([[1.0, 1.01], [1.0, 1.05]]))
    assert stop_rule(None, None) is None
