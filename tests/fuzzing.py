"""What fuzzing has in common: junk, mutations of good values, and how many examples are tried.

A plain run tries a few dozen examples each, always the same ones. To try many more, at random:

    ADARANK_FUZZ=5000 python -m pytest -o faulthandler_timeout=0 tests/stages/test_fuzz_*.py
"""

import copy
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_WANTED = os.environ.get("ADARANK_FUZZ")

fuzz = settings(
    max_examples=int(_WANTED or 30),
    derandomize=_WANTED is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""Decorates a fuzzed test."""

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([0, -1, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 5e-324, 1e-7, 1e300, 1.7e308]),
)
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["auto", "cpu", "uniform", "../x", "a\0b", "\ud800", "null", "1e5", "²", ""]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(WORDS, NUMBERS), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a nested value's parts are: every key and index below it."""
    if isinstance(value, dict):
        items = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    here = [(*before, key) for key, _ in items]
    return here + [path for key, inner in items for path in paths(inner, (*before, key))]


@st.composite
def mutated(draw: Callable[..., Any], good: Any, most: int = 2) -> Any:
    """A good value with up to `most` of its parts replaced, removed, renamed, doubled or added."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, most))):
        there = paths(value)
        if not there:
            return value
        *above, last = draw(st.sampled_from(there))
        inner = value
        for key in above:
            inner = inner[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "rename", "double", "add"]))
        if how == "remove":
            del inner[last]
        elif how == "double" and isinstance(inner, list):
            inner.append(copy.deepcopy(inner[last]))
        elif how in ("rename", "add") and isinstance(inner, dict):
            junk = inner.pop(last) if how == "rename" else draw(JUNK)
            inner[draw(WORDS)] = junk
        else:
            inner[last] = draw(JUNK)
    return value
