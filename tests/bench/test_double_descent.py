"""The ends of runs by rank, read from curves."""

from pathlib import Path

import pandas as pd
import pytest

from bench.double_descent import LAST, draw, ends


def test_every_run_ends_with_its_last_look_and_its_last_train_losses(tmp_path: Path) -> None:
    for budget in ("0.5", "16"):
        folder = tmp_path / f"task/uniform-{budget}"
        folder.mkdir(parents=True)
        (tmp_path / f"task/uniform-{budget}.tsv").write_text("")
        for seed in (0, 1):
            curve = pd.DataFrame(
                {"step": range(1, 13), "train_loss": [9.0, 9.0] + [seed + 1.0] * 10}
            )
            curve.loc[11, ["validation_loss", "validation_accuracy", "effective_rank"]] = 2, 0.25, 3
            curve.to_csv(folder / f"seed-{seed}.tsv", sep="\t", index=False)
    found = ends("task", "uniform", tmp_path)
    assert found["rank"].tolist() == [0.5, 0.5, 16, 16] and found["seed"].tolist() == [0, 1, 0, 1]
    assert LAST == 10 and found["train_loss"].tolist() == [1, 2, 1, 2]
    assert found["error"].tolist() == pytest.approx([75] * 4)
    draw(found, tmp_path / "figure.svg")
    first = (tmp_path / "figure.svg").read_bytes()
    draw(found, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_bytes() == first
