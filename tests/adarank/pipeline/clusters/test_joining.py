"""Clusters that cannot be joined say what to do, before anything is sent."""

import socket
import sys
from pathlib import Path

import pytest

from adarank.commands.sweep.places import Kind, Options, place
from adarank.errors import InputError
from adarank.pipeline.clusters.base import Resources
from adarank.pipeline.clusters.ray_cluster import join_ray
from adarank.pipeline.clusters.slurm_cluster import join_slurm


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError) as raised:
        join_ray(Resources())
    assert "pip install 'adarank[ray]'" in str(raised.value)


def test_without_submitit_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError) as raised:
        join_slurm(Resources(), tmp_path)
    assert "pip install 'adarank[slurm]'" in str(raised.value)


@pytest.mark.parametrize(
    "address", ["ray://host:10001", "host", "host:port", ":6379", "http://x:1"]
)
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'adarank[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match="no such address"):
        join_ray(Resources())


def test_an_address_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'adarank[ray]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InputError, match="nobody answers at this address") as raised:
            join_ray(Resources())
    assert f"{address}: Connection refused" in str(raised.value)


def test_the_store_is_tried_before_the_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "file").touch()
    for given, said in (
        ("off", "need the scratch store"),
        (str(tmp_path / "file"), "the scratch store cannot be written"),
    ):
        monkeypatch.setenv("ADARANK_SCRATCH", given)
        with pytest.raises(InputError, match=said), place(Options(Kind.ray), cells=1):
            pass


def test_the_command_to_go_on_with_asks_for_the_same() -> None:
    assert Options().command == "make sweep JOBS=2"
    asked = Options(kind=Kind.ray, resources=Resources(cpus=4, gpus=0.5), autoscaled=True)
    assert asked.command == "make sweep JOBS=2 WHERE=ray CPUS=4 GPUS=0.5 AUTOSCALED=1"
