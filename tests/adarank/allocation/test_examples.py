"""The examples in the docstrings of the room run."""

import doctest
from importlib import import_module

import pytest

MODULES = [
    "allocate",
    "plan",
    "rounding.apportion",
    "rounding.spend_all",
    "strategies.controls",
    "strategies.places",
    "strategies.registry",
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    results = doctest.testmod(import_module(f"adarank.allocation.{name}"))
    assert results.attempted > 0 and results.failed == 0
