"""What a library's loader raises is told in words, and what is no fault of the folder is not."""

from pathlib import Path

import pytest

from adarank.errors import InputError
from adarank.models.loading import loading, missing_package


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


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ImportError("XExtractor requires the SentencePiece library but it"), "sentencepiece"),
        (ImportError("Loading needs it: `pip install -U bitsandbytes>=0.46`"), "bitsandbytes"),
        (ModuleNotFoundError("You need to install fugashi to use MecabTokenizer."), "fugashi"),
        (ModuleNotFoundError("No module named 'gptqmodel.nn'"), "gptqmodel"),
        (ValueError("`tiktoken` is required to read a `tiktoken` file."), "tiktoken"),
        (OSError("file damaged"), None),
    ],
)
def test_a_missing_package_is_named(error: Exception, package: str | None, tmp_path: Path) -> None:
    assert missing_package(error, tmp_path) == package
    with pytest.raises(InputError) as told, loading("not loaded", tmp_path, expected="all"):
        raise error
    remedy = told.value.problems[0].remedy
    assert remedy == (f"pip install {package}" if package else "download it again")


def test_a_sentencepiece_model_is_not_tiktoken_s(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"")
    error = ValueError("`tiktoken` is required. Install it with `pip install tiktoken`.")
    assert missing_package(error, tmp_path) == "sentencepiece"
