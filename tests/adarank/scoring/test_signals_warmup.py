"""The warm-up: the head alone learns, as in a plain loop; the base runs once per batch."""

import pytest
import torch
from torch import nn

from adarank.errors import RunError
from adarank.scoring.signals.objective import OWN
from adarank.scoring.signals.warmup import WarmUp, warm_up
from tests.adarank.tasks.labelled import headed, labelled

SETTINGS = WarmUp(steps=10, learning_rate=0.02, seed=0)
BATCHES = [labelled("bert", seed) for seed in range(3)]


def test_the_head_learns_and_nothing_else_does() -> None:
    model = headed("bert")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    flags = [p.requires_grad for p in model.parameters()]
    done = warm_up(model, ["classifier"], BATCHES, OWN, SETTINGS)
    assert done is not None and done.steps == 10 and done.loss_after < done.loss_before
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert flags == [p.requires_grad for p in model.parameters()]
    assert all(p.grad is None for p in model.parameters())


def test_it_is_a_plain_loop_and_its_losses_are_the_mean_over_rows() -> None:
    model, plain = headed("bert"), headed("bert")
    done = warm_up(model, ["classifier"], BATCHES, OWN, SETTINGS)
    assert done is not None
    assert done.loss_before == pytest.approx(mean_loss(plain))
    optimizer = torch.optim.AdamW(plain.classifier.parameters(), lr=0.02, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    order = [i for _ in range(4) for i in torch.randperm(3, generator=generator).tolist()]
    for index in order[:10]:
        optimizer.zero_grad()
        plain(**BATCHES[index]).loss.backward()
        optimizer.step()
    assert torch.allclose(model.classifier.weight, plain.classifier.weight, atol=1e-6)
    assert done.loss_after == pytest.approx(mean_loss(plain), rel=1e-5)


def mean_loss(model: nn.Module) -> float:
    with torch.no_grad():
        return float(sum(model(**batch).loss for batch in BATCHES) / 3)


@pytest.mark.parametrize(
    ("head", "runs"), [(["classifier"], 3), (["bert.pooler", "classifier"], 3 + 10 + 3)]
)
def test_the_base_runs_once_per_batch_unless_part_of_it_learns(head: list[str], runs: int) -> None:
    model, seen = headed("bert"), []
    model.bert.embeddings.register_forward_hook(lambda *_: seen.append(1))
    pooler = model.bert.pooler.dense.weight.detach().clone()
    warm_up(model, head, BATCHES, OWN, SETTINGS)
    assert len(seen) == runs
    assert torch.equal(model.bert.pooler.dense.weight, pooler) == (len(head) == 1)
    # And it runs again afterwards.
    model(**BATCHES[0])
    assert len(seen) == runs + 1 and "forward" not in vars(model.bert)


def test_equal_seeds_give_equal_heads_and_the_caller_s_random_state_is_left() -> None:
    heads = []
    for _ in range(2):
        model = headed("bert")
        state = torch.get_rng_state()
        warm_up(model, ["classifier"], BATCHES, OWN, SETTINGS)
        assert torch.equal(state, torch.get_rng_state())
        heads.append(model.classifier.weight.detach())
    assert torch.equal(*heads)


def test_no_head_and_no_steps_do_nothing() -> None:
    model = headed("bert")
    assert warm_up(model, [], BATCHES, OWN, SETTINGS) is None
    assert warm_up(model, ["classifier"], BATCHES, OWN, WarmUp(0, 0.02, 0)) is None


def test_a_loss_that_is_not_finite_is_told_and_the_base_put_back() -> None:
    model = headed("bert")
    with pytest.raises(RunError, match="learning rate below 3e\\+37"):
        warm_up(model, ["classifier"], BATCHES, OWN, WarmUp(10, 3e37, 0))
    assert "forward" not in vars(model.bert)
