"""The real hub client, pointed at a hub on loopback, with a cache of its own and no real waits."""

import io
from pathlib import Path

import datasets
import pandas as pd
import pytest
from huggingface_hub import HfFileSystem, constants

from tests.hub_server import Files, Hub
from tests.pico import pico_rows

CARD = """---
configs:
- config_name: short
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
Rows of words.
"""


def point_at(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the client of this process ask `hub`; gives the list that its waits go to, in seconds.

    Its settings are read from the environment once, on import: HF_ENDPOINT, HF_HOME and
    HF_HUB_OFFLINE of another process say the same.
    """
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))
    # It takes up a broken file at the last whole chunk, 10 MiB for real.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 512)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", cache / "downloads")
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", cache / "extracted")
    HfFileSystem.clear_instance_cache()
    switch(monkeypatch, offline=False)
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def switch(monkeypatch: pytest.MonkeyPatch, *, offline: bool) -> None:
    """Do as HF_HUB_OFFLINE=1 does, or undo it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", offline)


def model_files(folder: Path) -> Files:
    """A model folder's files, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def parquet_files(seed: int = 0) -> Files:
    """A dataset with a card that names the configuration `short`."""
    return {
        "README.md": CARD.encode(),
        "data/train-00000-of-00001.parquet": _parquet(pico_rows(60, seed=seed)),
        "data/test-00000-of-00001.parquet": _parquet(pico_rows(15, seed=seed + 1)),
    }


def csv_files() -> Files:
    """A dataset of two CSV files and no card."""
    rows = {"train.csv": pico_rows(60), "test.csv": pico_rows(15, seed=1)}
    return {name: frame.to_csv(index=False).encode() for name, frame in rows.items()}


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    return sink.getvalue()
