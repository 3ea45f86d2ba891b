"""The real hub client against a hub on loopback that goes wrong in every way we know."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from stages import download, download_task
from tests.hub_client import csv_files, model_files, parquet_files, point_at, switch
from tests.hub_server import Fault, Hub, running_hub

MODEL, SET = "models/org/pico", "datasets/org/rows"
WEIGHTS = "model.safetensors"
LARGE = r"GET /cdn/"
TABLE = "data/train-00000-of-00001.parquet"
pytestmark = pytest.mark.usefixtures("hub")
BUSY = [408, 429, 500, 502, 503, 504]


@pytest.fixture
def hub(pico_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a model and a dataset; the current folder is an empty project."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    with running_hub() as hub:
        hub.repository(MODEL).commit(model_files(pico_model))
        hub.repository(SET).commit(parquet_files())
        hub.waits = point_at(hub, tmp_path / "cache", monkeypatch)
        yield hub


def fetch_model(source: str = "hf:org/pico@main", **changed: Any) -> str:
    """Run `download model`; the code it exits with, then all it said."""
    section = {"source": source, "convert_pickle": False, "trust_remote_code": False, "sha256": {}}
    return _run("model", section | changed)


def fetch_rows(source: str = "hf:org/rows/short@main", **changed: Any) -> str:
    """Run `download_task --task questions`; the code it exits with, then all it said."""
    section = {
        "source": source,
        "splits": {"train": "train", "validation": None, "test": "test"},
        "type": "classification",
        "text_key": "text",
        "pair_key": None,
        "target_key": "label",
        "templates": [],
        "target_words": {},
        "train_rows": None,
        "num_classes": None,
        "bad_rows": "refuse",
        "validation_fraction": 0.2,
        "test_fraction": None,
        "validation_seed": 0,
        "encoding": "utf-8",
        "separator": None,
        "sha256": {},
    }
    return _run("tasks", {"questions": section | changed})


def _run(part: str, section: dict[str, Any]) -> str:
    Path("params.yaml").write_text(json.dumps({part: section}))
    task = ["--task", "questions"]
    command = (download.app, []) if part == "model" else (download_task.app, task)
    result = CliRunner().invoke(*command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return f"exit {result.exit_code}\n{result.output}"


FETCH = {"model": fetch_model, "dataset": fetch_rows}
PLACE = {"model": "model", "dataset": "tasks/questions"}


def is_good(part: str) -> bool:
    """Whether data/ holds the whole of what the hub has, and nothing else."""
    if part == "model":
        return len(load_file(Path("data/model/model.safetensors"))) > 10
    return len(pd.read_parquet("data/tasks/questions/train.parquet")) == 48


def left() -> list[str]:
    """What lies in data/, half-written things too."""
    return sorted(path.name for path in Path("data").rglob("*")) if Path("data").exists() else []


def refused(said: str, *words: str, code: int = 2) -> None:
    """It ended with a clear error, and left nothing."""
    assert said.startswith(f"exit {code}\n"), said
    assert "Traceback" not in said and "remedy:" in said, said
    for word in words:
        assert word in said, said
    assert left() in ([], ["sources"]), left()


@pytest.mark.parametrize("part", FETCH)
def test_success_records_the_commit_and_asks_with_the_commit_alone(hub, part):
    commit = hub.repository({"model": MODEL, "dataset": SET}[part]).names["main"]
    assert FETCH[part]().startswith("exit 0\n")
    assert is_good(part)
    assert json.loads(Path(f"data/sources/{PLACE[part]}.json").read_text())["revision"] == commit
    assert json.loads(Path(f"locks/{PLACE[part]}.json").read_text())["commit"] == commit
    assert not [asked for asked in hub.asked if "/resolve/main" in asked or "/tree/main" in asked]


def test_a_dataset_of_csv_files_without_a_card(hub):
    hub.repository("datasets/org/plain").commit(csv_files())
    assert fetch_rows("hf:org/plain@main").startswith("exit 0\n")
    assert is_good("dataset")


@pytest.mark.parametrize("part", FETCH)
@pytest.mark.parametrize("cut_after", [0, 5000])
def test_a_cut_connection_is_taken_up_where_it_broke(hub, part, cut_after):
    hub.faults = [Fault(LARGE, cut_after=min(cut_after, 700 if part == "dataset" else cut_after))]
    assert FETCH[part]().startswith("exit 0\n")
    assert is_good(part)
    ranges = [asked for asked in hub.ranges if asked]
    assert bool(ranges) == (cut_after > 0), hub.ranges
    assert all(re.fullmatch(r"bytes=[1-9]\d*-", asked) for asked in ranges)


def test_a_connection_that_is_cut_again_and_again_is_given_up(hub):
    hub.faults = [Fault(LARGE, cut_after=0, times=None)]
    refused(fetch_model(), "could not be reached in 3 tries", code=1)


@pytest.mark.parametrize("part", FETCH)
@pytest.mark.parametrize("status", BUSY)
def test_a_busy_hub_is_asked_again_and_later_each_time(hub, part, status):
    paths = [f"GET /api/{part}s/org/[a-z]+/revision", "HEAD /.*resolve", LARGE]
    hub.faults = [Fault(path, status=status) for path in paths]
    assert FETCH[part]().startswith("exit 0\n")
    assert is_good(part)
    assert all(fault.times == 0 for fault in hub.faults), hub.asked
    assert hub.waits


@pytest.mark.parametrize("part", FETCH)
def test_a_hub_that_says_when_to_come_back_is_not_asked_before(hub, part):
    info = f"GET /api/{part}s/org/[a-z]+/revision"
    hub.faults = [Fault(info, status=429, headers={"Retry-After": "42"})]
    said = FETCH[part]()
    assert said.startswith("exit 0\n")
    assert hub.waits[0] == 42
    assert "429" in said and "try 2 of 3 in 42 s" in said


@pytest.mark.parametrize("part", FETCH)
@pytest.mark.parametrize("status", BUSY)
def test_a_hub_that_stays_busy_is_given_up(hub, part, status):
    hub.faults = [Fault(f"GET /api/{part}s", status=status, times=None)]
    refused(FETCH[part](), "could not be reached in 3 tries", code=1)


@pytest.mark.parametrize("part", FETCH)
def test_no_hub_at_all(part, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    refused(FETCH[part](), "could not be reached in 3 tries", "HF_ENDPOINT", code=1)


@pytest.mark.parametrize("part", FETCH)
def test_wrong_bytes_once_are_fetched_again(hub, part):
    files = hub.repository({"model": MODEL, "dataset": SET}[part])
    right = files.commits[files.names["main"]][{"model": WEIGHTS, "dataset": TABLE}[part]]
    wrong = right[:-200] + bytes(b ^ 1 for b in right[-200:])
    hub.faults = [Fault(LARGE, body=wrong)]
    said = FETCH[part]()
    assert said.startswith("exit 0\n") and "came with wrong bytes" in said
    assert is_good(part)


@pytest.mark.parametrize("part", FETCH)
def test_wrong_bytes_that_can_be_read_are_refused_and_never_believed_later(hub, part):
    """Bytes of another valid file, which only the promised hash can tell from the right ones."""
    repository = hub.repository({"model": MODEL, "dataset": SET}[part])
    files = repository.commits[repository.names["main"]]
    name = {"model": WEIGHTS, "dataset": TABLE}[part]
    other = bytes(files[name][:-4]) + b"\0\0\0\0" if part == "model" else parquet_files(7)[name]
    other += bytes(len(files[name]) - len(other)) if len(other) < len(files[name]) else b""
    hub.faults = [Fault(LARGE, body=other[: len(files[name])], times=None)]
    digest = hashlib.sha256(files[name]).hexdigest()
    refused(FETCH[part](), "not those that the hub promises", name, digest, code=1)
    hub.faults = []
    assert FETCH[part]().startswith("exit 0\n")
    assert is_good(part)


def test_a_byte_flipped_in_the_hub_s_cache_is_found(tmp_path):
    fetch_model()
    (blob,) = [p for p in (tmp_path / "cache").rglob("blobs/*") if p.stat().st_size > 50_000]
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    assert "came with wrong bytes" in fetch_model()
    assert load_file(Path("data/model/model.safetensors"))
    assert blob.read_bytes() != data


def test_a_small_file_with_other_bytes(hub):
    config = json.loads(model_config(hub))
    altered = json.dumps(config, indent=2).replace("gelu", "relu").encode()
    altered += b" " * (len(model_config(hub)) - len(altered))
    hub.faults = [Fault("GET .*config.json", body=altered, times=None)]
    refused(fetch_model(), "config.json", "not those that the hub promises", code=1)


def model_config(hub: Hub) -> bytes:
    """The model's config.json."""
    repository = hub.repository(MODEL)
    return repository.commits[repository.names["main"]]["config.json"]


@pytest.mark.parametrize("part", FETCH)
def test_pins_that_the_bytes_do_not_meet(part):
    name = {"model": WEIGHTS, "dataset": "train.parquet"}[part]
    said = FETCH[part](sha256={name: "0" * 64})
    refused(said, "not the pinned ones", f"{PLACE[part].replace('/', '.')}.sha256.{name}")


@pytest.mark.parametrize("part", FETCH)
def test_a_moved_branch_does_not_move_the_study(hub, part):
    repository = hub.repository({"model": MODEL, "dataset": SET}[part])
    FETCH[part]()
    files = Path(f"data/{PLACE[part]}").iterdir()
    before = {path.name: path.read_bytes() for path in files}
    first = repository.names["main"]
    changed = dict(repository.commits[first])
    changed |= parquet_files(seed=5) if part == "dataset" else {"merges.txt": b"a b"}
    second = repository.commit(changed)
    said = FETCH[part]()
    assert said.startswith("exit 0\n")
    assert f"is {second} by now" in said and f"the recorded {first} is used" in said
    assert {
        path.name: path.read_bytes() for path in Path(f"data/{PLACE[part]}").iterdir()
    } == before
    Path(f"locks/{PLACE[part]}.json").unlink()
    assert FETCH[part]().startswith("exit 0\n")
    assert json.loads(Path(f"data/sources/{PLACE[part]}.json").read_text())["revision"] == second
    assert {
        path.name: path.read_bytes() for path in Path(f"data/{PLACE[part]}").iterdir()
    } != before


@pytest.mark.parametrize("part", FETCH)
def test_a_branch_that_is_gone_leaves_its_recorded_commit(hub, part):
    repository = hub.repository({"model": MODEL, "dataset": SET}[part])
    FETCH[part]()
    del repository.names["main"]
    said = FETCH[part]()
    assert said.startswith("exit 0\n") and "not to be had from the hub now" in said


def test_a_recorded_commit_that_is_gone_is_told(hub, pico_model):
    fetch_model()
    repository = hub.repository(MODEL)
    del repository.commits[repository.names["main"]]
    repository.commit(model_files(pico_model) | {"merges.txt": b"a b"})
    said = fetch_model()
    assert said.startswith("exit 2\n") and "no such revision" in said
    assert "locks/model.json" in said


def test_a_record_of_another_source_does_not_count(hub):
    fetch_model()
    commit = hub.repository("models/org/other").commit(
        {**hub.repository(MODEL).commits[hub.repository(MODEL).names["main"]], "merges.txt": b""}
    )
    assert fetch_model("hf:org/other@main").startswith("exit 0\n")
    assert json.loads(Path("locks/model.json").read_text())["commit"] == commit


def test_a_commit_named_in_full_needs_no_record(hub):
    commit = hub.repository(MODEL).names["main"]
    assert fetch_model(f"hf:org/pico@{commit}").startswith("exit 0\n")
    assert not Path("locks").exists()


@pytest.mark.parametrize("part", FETCH)
def test_files_that_are_listed_and_missing(hub, part):
    gone = {"X-Error-Code": "EntryNotFound"}
    name = {"model": WEIGHTS, "dataset": TABLE}[part]
    hub.faults = [Fault(f"HEAD .*{name}", status=404, headers=gone, times=None)]
    refused(FETCH[part](), "a file is missing there")


@pytest.mark.parametrize(
    ("part", "source", "told"),
    [
        ("model", "hf:org/absent@main", "no such repository, or a private one"),
        ("model", "hf:org/pico@v9", "no such revision"),
        ("dataset", "hf:org/absent@main", "no such repository, or a private one"),
        ("dataset", "hf:org/rows/short@v9", "no such revision"),
        ("dataset", "hf:org/rows/long@main", "short"),
    ],
)
def test_names_that_the_hub_does_not_know(part, source, told):
    refused(FETCH[part](source), told, source)


@pytest.mark.parametrize("part", FETCH)
@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "GatedRepo", "is gated"),
        (403, "GatedRepo", "is gated"),
        (401, "RepoNotFound", "a private one"),
        (401, None, "does not accept this login"),
        (403, None, "may not read"),
    ],
)
@pytest.mark.parametrize("path", ["GET /api/", "HEAD .*resolve"])
def test_what_needs_a_login_says_how(hub, part, status, code, told, path):
    headers = {"X-Error-Code": code} if code else {}
    hub.faults = [Fault(path, status=status, headers=headers, times=None)]
    refused(FETCH[part](), told, "hf auth login", "HF_TOKEN")
    assert hub.waits == []


def pickled(files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """The same model, its weights in a pickle alone."""
    path = folder / "pytorch_model.bin"
    path.with_suffix(".safetensors").write_bytes(files[WEIGHTS])
    torch.save(load_file(path.with_suffix(".safetensors")), path)
    rest = {name: data for name, data in files.items() if name != WEIGHTS}
    return rest | {path.name: path.read_bytes()}


def test_a_repository_of_pickles_alone_needs_leave(hub, pico_model, tmp_path):
    hub.repository("models/org/old").commit(pickled(model_files(pico_model), tmp_path))
    refused(fetch_model("hf:org/old@main"), "pickled only", "model.convert_pickle: true")
    assert not [asked for asked in hub.asked if "pytorch_model.bin" in asked]
    said = fetch_model("hf:org/old@main", convert_pickle=True)
    assert said.startswith("exit 0\n") and is_good("model")
    assert not Path("data/model/pytorch_model.bin").exists()


@pytest.mark.parametrize("part", FETCH)
@pytest.mark.parametrize("name", ["../evil.json", "a/../../evil.json", "/etc/evil", "a\\..\\evil"])
def test_names_that_climb_out_are_refused_before_anything_is_fetched(hub, part, name):
    repository = hub.repository({"model": MODEL, "dataset": SET}[part])
    repository.commit(repository.commits[repository.names["main"]] | {name: b"{}"})
    refused(FETCH[part](), "climbs out of its folder", name)
    assert not [asked for asked in hub.asked if "/resolve/" in asked]


def test_an_index_of_shards_that_climbs_out_is_refused(hub, pico_model):
    files = model_files(pico_model)
    index = {"weight_map": {"embeddings": "../../params.yaml"}}
    files["model-00001-of-00001.safetensors"] = files.pop(WEIGHTS)
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.repository(MODEL).commit(files)
    refused(fetch_model(), "not an index of shards", "../../params.yaml")


@pytest.mark.parametrize("part", FETCH)
def test_offline_a_warm_cache_is_enough(hub, part, monkeypatch):
    FETCH[part]()
    files = {path.name: path.read_bytes() for path in Path(f"data/{PLACE[part]}").iterdir()}
    hub.asked.clear()
    switch(monkeypatch, offline=True)
    said = FETCH[part]()
    assert said.startswith("exit 0\n") and "the hub is switched off" in said
    assert {path.name: path.read_bytes() for path in Path(f"data/{PLACE[part]}").iterdir()} == files
    assert hub.asked == []


@pytest.mark.parametrize("part", FETCH)
def test_offline_without_the_files_is_told(part, monkeypatch):
    switch(monkeypatch, offline=True)
    refused(FETCH[part](), "switched off", "HF_HUB_OFFLINE")


def test_offline_another_commit_of_the_dataset_is_not_taken_for_this_one(hub, monkeypatch):
    fetch_rows()
    repository = hub.repository(SET)
    other = repository.commit(parquet_files(seed=3), branch="next")
    switch(monkeypatch, offline=True)
    said = fetch_rows(f"hf:org/rows/short@{other}")
    assert not said.startswith("exit 0\n") and "Traceback" not in said
    assert other in said
