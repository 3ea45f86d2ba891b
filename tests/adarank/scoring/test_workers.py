"""Two processes (gloo) give the scores of one."""

import socket
from pathlib import Path

import pandas as pd
import torch.multiprocessing as mp
from torch import distributed as dist

from adarank.models.modules import find_modules
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from adarank.scoring.score import score_modules
from tests.architectures import pico, pico_batch

SETTINGS = {"exact": Exact(trials=2), "linearized": Linearized(sketches=2)}


def _tables() -> dict[str, pd.DataFrame]:
    model, batches = pico("bert"), [pico_batch("bert"), pico_batch("bert", seed=1)]
    modules = find_modules(model)
    return {
        name: score_modules(model, batches, modules, settings).table
        for name, settings in SETTINGS.items()
    }


def _worker(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for name, table in _tables().items():
        table.to_parquet(folder / f"{name}-{rank}.parquet")
    dist.destroy_process_group()


def test_two_processes_score_as_one_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_worker, args=(port, tmp_path), nprocs=2)
    for name, alone in _tables().items():
        for rank in range(2):
            together = pd.read_parquet(tmp_path / f"{name}-{rank}.parquet")
            assert together.drop(columns="score").equals(alone.drop(columns="score"))
            assert together["score"].tolist() == alone["score"].tolist()
