"""The LETOR benchmark: reading both forms, carving whole queries, and a small run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file
from typer.testing import CliRunner

from adarank.errors import InputError
from bench import letor, letor_models
from bench.letor_data import Part, carve, read


def part(n_queries: int, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    items = rng.random((n_queries * 8, 5))
    grades = np.digitize(items @ [2, 1, 0, 0, 0], [1.7, 2.2]).astype(float)
    return Part(items, grades, np.repeat(np.arange(n_queries) + 10 * seed, 8))


def parquet(folder: Path, parts: dict[str, Part]) -> Path:
    for name, one in parts.items():
        columns = {f"f{place}": values for place, values in enumerate(one.items.T, 1)}
        table = pd.DataFrame({"relevance": one.grades, "qid": one.queries, **columns})
        table.to_parquet(folder / f"{name}.parquet")
    return folder


PARTS = {"train": part(12, 1), "test": part(6, 3)}


def test_letors_own_text_is_read_as_the_tables_are(tmp_path: Path) -> None:
    for name, one in PARTS.items():
        items = one.items.copy()
        items[:, 4] = 0 if name == "test" else items[:, 4]
        dump_svmlight_file(
            items, one.grades, str(tmp_path / f"{name}.txt"), zero_based=False, query_id=one.queries
        )
    found = read(tmp_path)
    for name, one in PARTS.items():
        assert found[name].items.shape == one.items.shape
        np.testing.assert_allclose(found[name].items[:, :4], one.items[:, :4])
        np.testing.assert_array_equal(found[name].queries, one.queries)
        np.testing.assert_array_equal(found[name].grades, one.grades)


def test_validation_takes_whole_queries() -> None:
    training, validation = carve(PARTS["train"], 0.25, seed=0)
    assert not set(training.queries) & set(validation.queries)
    assert len(validation.places) == 3 and len(training.places) == 9


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no LETOR data here"):
        read(tmp_path)
    (tmp_path / "train.txt").write_text("not svmlight")
    (tmp_path / "test.txt").write_text("not svmlight")
    with pytest.raises(InputError, match="not LETOR data"):
        read(tmp_path)


GOOD = "2 qid:1 1:0.5 2:0.1 #docid = GX0\n0 qid:1 1:0.3 2:0.2\n"


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("", "train.txt: no documents"),
        ("2 1:0.5 2:0.1\n0 1:0.3 2:0.2\n", "without a query.*2 documents, 0 of them with qid:"),
        (GOOD.replace("0.5", "nan"), "not finite.*1 documents, the first in row 1"),
        (GOOD.replace("2 qid", "-1 qid"), "negative or missing.*-1"),
        (GOOD.replace("2 qid", "nan qid"), "negative or missing"),
        (GOOD.replace("2 qid", "0 qid"), "no pair of documents.*1 queries"),
        (GOOD.replace("0 qid:1", "0 qid:2"), "no pair of documents.*2 queries"),
        (GOOD.replace("2:0.1", "1:0.1"), "sorted and unique"),
        (GOOD.replace("qid:1", "qid:a"), "not LETOR data"),
    ],
)
def test_text_that_cannot_be_ranked_is_refused(tmp_path: Path, train: str, message: str) -> None:
    (tmp_path / "train.txt").write_text(train)
    (tmp_path / "test.txt").write_text(GOOD)
    with pytest.raises(InputError, match=f"(?s){message}"):
        read(tmp_path)


def test_a_source_s_prefix_and_comments_are_understood(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    (tmp_path / "test.txt").write_text(GOOD)
    assert read(Path(f"file:{tmp_path}"))["train"].grades.tolist() == [2, 0]


def test_parts_of_other_widths_are_refused(tmp_path: Path) -> None:
    narrow = Part(PARTS["test"].items[:, :4], PARTS["test"].grades, PARTS["test"].queries)
    with pytest.raises(InputError, match="unequal numbers of features"):
        read(parquet(tmp_path, PARTS | {"test": narrow}))


def test_a_small_run_gives_every_figure_and_goes_on_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letor_models, "ITERATIONS", 6)
    quick = {name: (grid[:1], fit) for name, (grid, fit) in letor_models.METHODS.items()}
    for name in (letor_models.ACTIVE, letor_models.CONTROL):
        # So few pairs take larger steps.
        quick[name] = (({"hidden": 10, "learning_rate": 0.05},), quick[name][1])
    monkeypatch.setattr(letor, "METHODS", quick)
    folder, figure = parquet(tmp_path, PARTS), tmp_path / "figure.svg"
    command = [str(folder), "--seeds", "2", "--json", "--figure", str(figure)]
    command += ["--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(letor.app, command)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert set(figures["methods"]) == set(quick)
    for row in figures["methods"].values():
        mean, low, high = row["ndcg@10"]
        assert 0.7 < low <= mean <= high <= 1
    assert figures["sort"]["comparisons"] <= figures["sort"]["n_log2_n"]
    assert len(figures["sortnet_minus"]) == 2 * (len(quick) - 1)

    drawn = figure.read_bytes()
    monkeypatch.setattr(letor, "run_seed", None)
    again = CliRunner().invoke(letor.app, command)
    assert again.exit_code == 0, again.output
    assert figure.read_bytes() == drawn


def test_the_control_has_as_many_pairs_as_the_active_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letor_models, "ITERATIONS", 3)
    both = {name: (grid[:1], fit) for name, (grid, fit) in list(letor_models.METHODS.items())[:2]}
    training, validation = carve(PARTS["train"], 0.25, seed=0)
    fits = dict(letor_models.fits(training, validation, 0, both))
    pairs = [[one.pairs for one in fit.history] for fit in fits.values()]
    assert pairs[0] == pairs[1][: len(pairs[0])]
