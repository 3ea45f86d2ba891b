"""Fixtures shared by all tests: one thread, no network, pico models."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start: sums are the same
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["ADARANK_SCRATCH"] = "off"  # A test of a stage must run it, not find what it once made.

import pytest
import torch

from tests.pico import save_pico_model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pico_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pico BERT and its tokenizer; read-only, shared by the session."""
    return save_pico_model(tmp_path_factory.mktemp("pico") / "model")
