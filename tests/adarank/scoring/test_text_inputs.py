"""What models need of texts: room for their positions, and inputs for a decoder."""

import pytest
import torch

from adarank.errors import InputError
from adarank.scoring.outputs import compared_output
from adarank.scoring.probe import make_probe
from adarank.scoring.text_inputs import most_tokens, refuse_other_inputs, with_decoder_inputs
from tests.architectures import CONFIGS, PAD, pico
from tests.pico import pico_tokenizer

TEXT = "who what where when how many did does is was the a of in to"
LIMITED = ["bert", "roberta", "distilbert", "electra", "gpt2", "opt", "bart"]


@pytest.mark.parametrize("name", LIMITED)
def test_the_longest_text_that_fits_is_known(name: str) -> None:
    model = pico(name)
    limit = most_tokens(model)
    assert limit == 64 - (PAD + 1 if name == "roberta" else 0)
    tokens = torch.full((1, limit), 5)
    batch = with_decoder_inputs(
        model, {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    )
    assert compared_output(model, batch, "pooled").isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 5))


def test_relative_positions_set_no_limit() -> None:
    assert most_tokens(pico("t5")) is None


def test_texts_longer_than_the_model_can_read_are_cut_and_counted() -> None:
    model, tokenizer = pico("roberta"), pico_tokenizer()
    tokenizer.model_max_length = 10**9
    probe = make_probe([TEXT * 10, TEXT], tokenizer, model=model, max_length=5000, batch_size=1)
    assert [batch["input_ids"].shape[1] for batch in probe.batches] == [17, 62]
    assert probe.truncated == 1


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_decoder_reads_the_text_behind_its_start_token(name: str) -> None:
    start = CONFIGS[name]().decoder_start_token_id
    probe = make_probe(["who is", "who is the king"], pico_tokenizer(), model=pico(name))
    (batch,) = probe.batches
    assert torch.equal(batch["decoder_attention_mask"], batch["attention_mask"])
    assert batch["decoder_input_ids"][:, 0].tolist() == [start, start]
    assert torch.equal(batch["decoder_input_ids"][:, 1:], batch["input_ids"][:, :-1])


def test_padding_changes_no_decoder_output() -> None:
    model, texts = pico("bart"), ["who is", "who is the king of"]
    model.resize_token_embeddings(64)
    together, alone = (
        make_probe(texts[:n], pico_tokenizer(), model=model).batches[0] for n in (2, 1)
    )
    padded = compared_output(model, together, "pooled")[:1]
    assert torch.allclose(padded, compared_output(model, alone, "pooled"), atol=1e-5)


def test_an_encoder_and_a_causal_model_get_no_decoder_inputs() -> None:
    for name in ("bert", "gpt2"):
        (batch,) = make_probe(["who is"], pico_tokenizer(), model=pico(name)).batches
        assert set(batch) == {"input_ids", "attention_mask"}


def test_a_decoder_without_a_start_token_is_refused() -> None:
    model = pico("t5")
    model.config.decoder_start_token_id = None
    with pytest.raises(InputError, match="decoder_start_token_id"):
        make_probe(["who is"], pico_tokenizer(), model=model)


def test_a_vision_model_is_refused_by_what_it_reads() -> None:
    with pytest.raises(InputError, match="pixel_values"):
        refuse_other_inputs(pico("vit"))
    with pytest.raises(InputError, match="does not read text"):
        make_probe(["who is"], pico_tokenizer(), model=pico("vit"))
