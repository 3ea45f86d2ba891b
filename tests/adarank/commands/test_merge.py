"""`adarank merge`: whole models and adapters from folders, and what it refuses."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from adarank.commands.app import app
from tests.adarank.pipeline.merging.folders import headed, saved
from tests.pico import WORDS


@pytest.fixture
def members(pico_model: Path, tmp_path: Path) -> list[str]:
    return [str(folder) for folder in saved(tmp_path / "members", pico_model, "adapters").values()]


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    flags: list[str] = []
    for task in ("trees", "rivers"):
        lines = "\n".join(" ".join(WORDS[i : i + 4]) for i in range(20))
        (tmp_path / f"{task}.txt").write_text(lines)
        flags += ["--texts", f"{task}={tmp_path / f'{task}.txt'}"]
    return flags


def merged(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["merge", *map(str, arguments)])


def test_a_learned_merge_writes_an_adapter_masks_and_a_table(
    pico_model: Path, members: list[str], texts: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--budget", 1.5, "--steps", 3, "--batch", 4, "--set", "rate=0.01"]
    result = merged(pico_model, *members, *texts, *options, "--output", out)
    assert result.exit_code == 0, result.output
    assert "components kept" in result.stderr and "entropy" in result.stderr
    record = json.loads((out / "merge.json").read_text())
    assert record["adapter"]["parameters"] == 480 and len(record["ranks"]) == 8
    coefficients = load_file(out / "coefficients.safetensors")
    assert coefficients["lambda.encoder.layer.0.attention.self.query.weight"].shape == (2,)
    loaded = peft.PeftModel.from_pretrained(headed(pico_model, 3, 0), str(out))
    assert loaded(input_ids=torch.arange(5, 10)[None]).logits.isfinite().all()


def test_a_closed_form_writes_a_whole_model(
    pico_model: Path, members: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = merged(pico_model, *members, "--method", "tsv_m", "--output", out)
    assert result.exit_code == 0, result.output
    assert (out / "model.safetensors").is_file() and (out / "tokenizer.json").is_file()
    assert sorted(p.stem for p in (out / "heads").iterdir()) == ["rivers", "trees"]


def test_a_run_goes_on_from_its_checkpoint(
    pico_model: Path, members: list[str], texts: list[str], tmp_path: Path
) -> None:
    common = [pico_model, *members, *texts, "--batch", 4, "--patience", 0, "--set", "rate=0.01"]
    state = tmp_path / "state"
    assert merged(*common, "--steps", 20, "--output", tmp_path / "whole").exit_code == 0
    for steps, output in ((10, "half"), (20, "rest")):
        flags = ["--steps", steps, "--checkpoint", state, "--output", tmp_path / output]
        assert merged(*common, *flags).exit_code == 0
    whole, rest = (tmp_path / name / "model.safetensors" for name in ("whole", "rest"))
    assert whole.read_bytes() == rest.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--method", "slerp"], "no such merging method"),
        (["--method", "adarank"], "learns on unlabelled texts"),
        (["--method", "ties", "--set", "scaling=0.1,0.2"], "one number"),
        (["--method", "ties", "--budget", "2", "--full"], "one result at a time"),
        (["--method", "average", "--budget", "40"], "sum of the members' ranks"),
        (["--method", "average", "--texts", "trees=/nowhere"], "cannot be read"),
    ],
)
def test_bad_input_is_refused_without_a_traceback(
    pico_model: Path, members: list[str], tmp_path: Path, arguments: list[str], text: str
) -> None:
    result = merged(pico_model, *members, *arguments, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert text in result.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_two_tasks_of_one_name_are_refused(
    pico_model: Path, members: list[str], tmp_path: Path
) -> None:
    pair = [f"trees={members[0]}", f"trees={members[1]}"]
    result = merged(pico_model, *pair, "--method", "average", "--output", tmp_path / "out")
    assert result.exit_code == 2 and "the same name twice" in result.stderr
