"""What a library's loader raises is told in words, and what is no fault of the folder is not."""

from pathlib import Path

import pytest

from adarank.errors import InputError
from adarank.models.loading import loading


@pytest.mark.parametrize("error", [ImportError("no such package"), KeyError("hidden"), OSError(5)])
def test_what_the_loader_stumbles_over_is_an_input_error(error: Exception) -> None:
    with pytest.raises(InputError) as told, loading("not loaded", Path("folder"), expected="all"):
        raise error
    assert told.value.__cause__ is error
    assert told.value.problems[0].where == "folder"
    assert type(error).__name__ in str(told.value)


def test_a_lack_of_memory_is_not_blamed_on_the_folder() -> None:
    error = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    with (
        pytest.raises(RuntimeError, match="allocate"),
        loading("not loaded", Path("folder"), expected="all"),
    ):
        raise error
