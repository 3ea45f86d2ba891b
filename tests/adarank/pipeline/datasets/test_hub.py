"""Datasets of the hub, through a stand-in for it."""

from types import SimpleNamespace

import datasets
import pytest

from adarank.errors import InputError
from adarank.pipeline.datasets import hub
from adarank.pipeline.datasets.raw import Columns
from adarank.pipeline.datasets.read import read_dataset
from adarank.pipeline.datasets.reading.form import Form
from adarank.pipeline.datasets.rows.templates import parse_templates

TEXT_LABEL = Columns("text", "label")
UTF8 = Form("utf-8", None)


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub with one dataset, whose test labels are partly withheld."""
    state = SimpleNamespace(loaded=[])
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["sad", "glad"]),
            "place": datasets.ClassLabel(names=["here", "there"]),
        }
    )
    rows = {
        "train": {"sentence": ["a", "b", "c"], "label": [1, 0, 1], "place": [1, 1, 0]},
        "validation": {"sentence": ["d", "e"], "label": [0, -1], "place": [0, 0]},
    }

    def dataset_info(_self, repository, *, revision, files_metadata):
        assert (repository, revision, files_metadata) == ("org/set", "main", True)
        return SimpleNamespace(sha="c0ffee", siblings=[])

    def load_dataset(repository, config, *, revision, split):
        state.loaded.append((repository, config, revision, split))
        if split not in rows:
            raise ValueError(f'Unknown split "{split}". Should be one of {list(rows)}.')
        return datasets.Dataset.from_dict(rows[split], features=features)

    monkeypatch.setattr(hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    return state


def test_hub_datasets_keep_their_classes_and_commit(fake_hub):
    splits = {"train": "train", "test": "validation"}
    found = read_dataset("hf:org/set/conf@main", splits, Columns("sentence", "label"), UTF8)
    assert fake_hub.loaded == [
        ("org/set", "conf", "c0ffee", "train"),
        ("org/set", "conf", "c0ffee", "validation"),
    ]
    assert found.revision == "c0ffee"
    assert found.classes == ("sad", "glad")
    assert list(found.frames["train"]["label"]) == ["glad", "sad", "glad"]
    assert list(found.frames["test"]["label"]) == ["sad", None]


def test_hub_datasets_without_the_split_or_column(fake_hub):
    columns = Columns("sentence", "label")
    with pytest.raises(InputError, match="Should be one of"):
        read_dataset("hf:org/set@main", {"train": "train", "test": "tset"}, columns, UTF8)
    assert len(fake_hub.loaded) == 2
    with pytest.raises(InputError, match="text_key: no such text column"):
        read_dataset("hf:org/set@main", {"train": "train", "test": "validation"}, TEXT_LABEL, UTF8)


@pytest.mark.usefixtures("fake_hub")
def test_hub_datasets_give_templates_their_columns():
    templates = parse_templates(["{place}, {sentence}: {label}"])
    columns = Columns(target="label", templates=templates)
    splits = {"train": "train", "test": "validation"}
    found = read_dataset("hf:org/set@main", splits, columns, UTF8)
    assert list(found.frames["train"].columns) == ["label", "place", "sentence"]
    assert list(found.frames["train"]["place"]) == ["there", "there", "here"]
    assert list(found.frames["train"]["label"]) == ["glad", "sad", "glad"]
    assert found.classes == ("sad", "glad")
    plain = read_dataset("hf:org/set@main", splits, Columns("sentence"), UTF8)
    assert plain.classes is None and list(plain.frames["test"].columns) == ["sentence"]
