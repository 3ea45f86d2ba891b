"""Clusters that cannot be joined say what to do, before anything is sent."""

import sys
from pathlib import Path

import pytest

from adarank.errors import InputError
from adarank.pipeline.clusters.base import Share
from adarank.pipeline.clusters.ray_cluster import join_ray
from adarank.pipeline.clusters.slurm_cluster import join_slurm


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError) as raised:
        join_ray(Share())
    assert "pip install 'adarank[ray]'" in str(raised.value)


def test_without_submitit_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError) as raised:
        join_slurm(Share(), tmp_path)
    assert "pip install 'adarank[slurm]'" in str(raised.value)


@pytest.mark.parametrize(
    "address", ["ray://host:10001", "host", "host:port", ":6379", "http://x:1"]
)
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'adarank[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match="no such address"):
        join_ray(Share())
