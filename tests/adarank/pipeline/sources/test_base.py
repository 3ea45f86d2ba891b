"""What adapters name as their base model is loadable elsewhere, or nobody's name."""

from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from adarank.errors import InputError
from adarank.pipeline.artifacts.places import MODEL_SOURCE
from adarank.pipeline.files.whole import write_json
from adarank.pipeline.sources.base import base_of, base_of_study


def test_a_repository_is_named_with_its_commit_and_not_its_branch() -> None:
    assert base_of("hf:org/small@main", "0123abc") == ("org/small", "0123abc")
    assert base_of("hf:small@v1", "0123abc") == ("small", "0123abc")


@pytest.mark.parametrize("source", ["pypi:small==1.0/model", "pypi:a==1.0/b", "file:data/model"])
def test_what_is_no_repository_cannot_be_taken_for_one(source: str) -> None:
    name, revision = base_of(source, "1.0")
    assert revision is None
    if name is not None:
        with pytest.raises(HFValidationError):
            validate_repo_id(name)


def test_a_folder_of_this_machine_has_no_name() -> None:
    assert base_of("file:/home/someone/model", None) == (None, None)


def test_the_studys_own_record_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=str(MODEL_SOURCE)):
        base_of_study()
    write_json(MODEL_SOURCE, {"source": "hf:org/small@main", "revision": "0123abc", "sha256": {}})
    assert base_of_study() == ("org/small", "0123abc")
    write_json(MODEL_SOURCE, {"revision": "0123abc"})
    with pytest.raises(InputError, match="source"):
        base_of_study()
