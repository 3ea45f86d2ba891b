"""The comparator: symmetric for any weights, deterministic, the same in all its forms."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adarank.ordering import comparator as module
from adarank.ordering.comparator import Comparator

FLOATS = st.floats(-1e3, 1e3, allow_nan=False, width=64)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float64, (2, 6, 4), elements=FLOATS), st.integers(1, 7), st.integers(0, 99))
def test_greater_and_less_change_places_with_the_items(
    pairs: np.ndarray, hidden: int, seed: int
) -> None:
    net = Comparator(4, hidden, seed)
    x, y = torch.from_numpy(pairs)
    with torch.no_grad():
        net.bias.fill_(0.7)
        there, back = net(x, y), net(y, x)
    torch.testing.assert_close(there, back.flip(-1), rtol=0, atol=1e-12)


def test_forward_is_the_formula() -> None:
    net = Comparator(3, 5, seed=1)
    x, y = np.random.default_rng(0).normal(size=(2, 3))
    a, b, d, w, v, c = (p.detach().numpy() for p in net.parameters())
    unit, twin = np.tanh(x @ a + y @ b + d), np.tanh(y @ a + x @ b + d)
    expected = [1 / (1 + np.exp(-(w @ p + v @ q + c))) for p, q in ((unit, twin), (twin, unit))]
    with torch.no_grad():
        found = net(torch.from_numpy(x[None]), torch.from_numpy(y[None]))[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_margins_are_differences_of_logits() -> None:
    net, items = Comparator(3, 5, seed=1), np.random.default_rng(0).normal(size=(6, 3))
    margins = net.margins(items)
    i, j = np.indices((6, 6)).reshape(2, -1)
    with torch.no_grad():
        both = torch.logit(net(torch.from_numpy(items[i]), torch.from_numpy(items[j])))
    np.testing.assert_allclose(
        margins.ravel(), (both[:, 0] - both[:, 1]).numpy(), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_array_equal(margins, -margins.T)


def test_long_lists_are_compared_pair_by_pair_with_the_same_answers(monkeypatch) -> None:
    net, items = Comparator(3, 5, seed=1), np.random.default_rng(0).normal(size=(9, 3))
    quick = net.before(items)
    monkeypatch.setattr(module, "_MATRIX_ITEMS", 0)
    slow = net.before(items)
    assert all(quick(i, j) == slow(i, j) for i in range(9) for j in range(9))


def test_equal_items_tie() -> None:
    net, items = Comparator(3, 5, seed=1), np.ones((2, 3))
    assert not net.before(items)(0, 1) and not net.before(items)(1, 0)


def test_a_seed_gives_the_same_weights_whatever_torch_drew_before() -> None:
    one = Comparator(3, 5, seed=4)
    torch.rand(7)
    other = Comparator(3, 5, seed=4)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.first, Comparator(3, 5, seed=5).first)
