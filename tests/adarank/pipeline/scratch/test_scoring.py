"""Parts in the scratch store: written now and then, joined in the end, however a run ends."""

import weakref
from pathlib import Path

import pytest
import torch

from adarank.pipeline.scratch.entry import Entry
from adarank.pipeline.scratch.pace import Pace, usual_pace
from adarank.pipeline.scratch.scoring import KeptParts, kept_parts
from adarank.pipeline.scratch.store import Store, make_key

KEY = make_key("scores", "score exact", seed=0)
ONE, TWO = torch.tensor([1.0, 2.0]), torch.tensor([3.0])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "scratch")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH_SECONDS", "0")


def test_the_end_leaves_one_entry_and_an_interruption_loses_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), kept_parts(store, KEY) as kept:
        kept.put("a", ONE)
        raise KeyboardInterrupt
    with kept_parts(store, KEY) as kept:
        assert kept.get("a") is not None and kept.get("b") is None
        kept.put("b", TWO)
        assert len(store.parts(KEY)) == 1
    assert len(store.parts(KEY)) == 1
    again = KeptParts(store, KEY, Pace(1e9))
    for name, values in (("a", ONE), ("b", TWO)):
        found = again.get(name)
        assert found is not None and torch.equal(found, values)


def test_what_is_taken_is_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with kept_parts(store, KEY) as kept:
        kept.put("a", ONE)
        kept.put("b", TWO)
    assert capsys.readouterr().err == ""
    KeptParts(store, KEY, Pace(1e9))
    message = f"score exact: 2 finished parts found in the scratch store (ADARANK_SCRATCH={store}"
    assert message.replace(str(store), str(store.folder)) in capsys.readouterr().err
    with kept_parts(store, KEY) as kept:
        assert (kept.found, kept.get("b") is not None, kept.get("c")) == (2, True, None)
    assert "score exact: of the 2 finished parts 1 were of use" in capsys.readouterr().err


@pytest.mark.usefixtures("eager")
def test_each_part_is_written_at_once_where_nothing_may_be_lost(store: Store) -> None:
    with kept_parts(store, KEY) as kept:
        kept.put("a", ONE)
        kept.put("b", TWO)
        assert len(store.parts(KEY)) == 2
        kept.drop("a")
    assert KeptParts(store, KEY, Pace(1e9)).get("a") is None


def test_a_damaged_part_costs_that_part_alone(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(KEY, Entry({"a": ONE}), "first")
    store.put(KEY, Entry({"b": TWO}), "second")
    assert store.folder is not None
    path = store.folder / KEY.kind / f"{KEY.digest}.first"
    path.write_bytes(path.read_bytes()[:-1])
    kept = KeptParts(store, KEY, Pace(1e9))
    assert kept.get("a") is None and kept.get("b") is not None
    assert "damaged" in capsys.readouterr().err and not path.exists()


@pytest.mark.usefixtures("eager")
def test_what_is_written_is_not_held_in_memory(store: Store) -> None:
    with kept_parts(store, KEY) as kept:
        values = torch.arange(5.0)
        held = weakref.ref(values)
        kept.put("a", values)
        kept.put("b", TWO)
        del values
        assert held() is None
        found = kept.get("a")
        assert found is not None and found.tolist() == [0, 1, 2, 3, 4]


def test_much_is_written_before_it_is_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adarank.pipeline.scratch.scoring._MOST_PENDING", 7)
    kept = KeptParts(store, KEY, Pace(1e9))
    kept.put("b", TWO)
    assert store.parts(KEY) == []
    kept.put("a", ONE)
    assert len(store.parts(KEY)) == 1


def test_an_entry_goes_with_its_last_part(store: Store) -> None:
    store.put(KEY, Entry({"a": ONE, "b": TWO}), "first")
    kept = KeptParts(store, KEY, Pace(1e9))
    kept.drop("a")
    assert store.parts(KEY) == ["first"]
    kept.drop("b")
    assert store.parts(KEY) == []


def test_the_pace_keeps_writing_below_one_hundredth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(30)
    assert not pace.due()
    now[0] += 30
    assert pace.due()
    with pace.writing():
        now[0] += 2
    now[0] += 199
    assert not pace.due()
    now[0] += 1
    assert pace.due()


@pytest.mark.parametrize("given", ["-1", "soon", "nan", "inf"])
def test_a_pace_that_is_none_is_told(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADARANK_SCRATCH_SECONDS", given)
    with pytest.raises(Exception, match="ADARANK_SCRATCH_SECONDS"):
        usual_pace()
