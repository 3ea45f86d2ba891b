"""The examples in the docstrings of the public names run, each public function has one."""

import doctest
import inspect
from importlib import import_module

import pytest

import adarank

PUBLIC = ["Module", "RankPlan", "Scale", "allocate", "find_modules", "score"]
MODULES = sorted({inspect.getmodule(getattr(adarank, name)).__name__ for name in PUBLIC})  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("name", ["RankPlan", "allocate", "find_modules", "score"])
def test_it_has_an_example(name: str) -> None:
    assert "Example:" in (inspect.getdoc(getattr(adarank, name)) or "")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    results = doctest.testmod(import_module(name))
    assert results.failed == 0
