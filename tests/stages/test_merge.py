"""The stages merge and evaluate_merged: what lies on disk, how it is chosen, what it measures."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner, Result

from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.entropy import OBJECTIVES
from adarank.merging.registry import METHODS
from adarank.merging.task_vectors import dense
from adarank.pipeline.artifacts.merged import read_merged
from adarank.pipeline.files.tables import read_parquet
from adarank.pipeline.files.whole import read_json, write_json
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.reading import read_members
from adarank.pipeline.params.loader import load
from adarank.tuning.prediction import predict
from stages import evaluate_merged, merge
from tests.cells import files
from tests.merged_study import TASKS, change_params, write_study
from tests.schemas import key_paths

BASE = Path("data/model")


@pytest.fixture(scope="module")
def project(pico_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_study(pico_model)
    return folder


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(project)
    monkeypatch.setenv("ADARANK_SCRATCH", "off")
    change_params()
    yield
    for place in ("data/merged", "metrics/cells/merged"):
        shutil.rmtree(place, ignore_errors=True)


def run(stage: Any, name: str) -> Result:
    return CliRunner().invoke(stage.app, ["--method", name])


def merged(name: str, **changes: Any) -> Path:
    """Merge by a name and return the folder of seed 0."""
    change_params(merges=(name,), **changes)
    result = run(merge, name)
    assert result.exit_code == 0, result.output
    return Path(f"data/merged/{name}/seed-0")


def measured(name: str, **changes: Any) -> dict[str, Any]:
    merged(name, **changes)
    result = run(evaluate_merged, name)
    assert result.exit_code == 0, result.output
    return read_merged(name)


def members(seed: int = 0) -> dict[str, Path]:
    return {task: Path(f"data/adapters/{task}/explicit-2/seed-{seed}") for task in TASKS}


def headed(folder: Path, task: str) -> torch.nn.Module:
    """What a user of transformers and PEFT alone builds of a merge."""
    head = load_file(folder / "heads" / f"{task}.safetensors")
    model = AutoModelForSequenceClassification.from_pretrained(
        BASE, num_labels=len(head["classifier.bias"])
    )
    model.load_state_dict(head, strict=False)
    if (folder / "adapter_config.json").exists():
        return peft.PeftModel.from_pretrained(model, str(folder)).eval()
    unknown = model.bert.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    assert not unknown.unexpected_keys
    return model.eval()


@pytest.mark.parametrize("name", ["task_arithmetic", "tsv_m", "ties", "core_space", "masks"])
def test_the_merge_is_what_plain_peft_and_transformers_load_and_measure(name: str) -> None:
    record, folder = measured(name), Path(f"data/merged/{name}/seed-0")
    params = load(evaluate_merged.Params, Path("params.yaml"))
    for task, one in evaluate_merged.read_tasks(params).items():
        test = one.encode(read_parquet(Path(f"data/tasks/{task}/test.parquet"))[0])
        table = predict(
            headed(folder, task), one, test.examples, batch_size=8, device=torch.device("cpu")
        )
        row = next(r for r in record["seeds"] if (r["seed"], r["task"]) == (0, task))
        assert row["headline"] == row["accuracy"] == one.metrics(table)["accuracy"]
        assert row["loss"] == pytest.approx(one.metrics(table)["loss"], abs=1e-5)
        assert row["n"] == 15
    assert [(r["seed"], r["task"]) for r in record["seeds"]] == [
        (seed, task) for seed in (0, 1) for task in TASKS
    ]


def test_the_adapter_is_the_librarys_own_merge() -> None:
    folder = merged("task_arithmetic", scaling=[0.3])
    base = read_base(BASE)
    expected = MergedWeights(
        read_members(base, members()), METHODS["task_arithmetic"], {"scaling": 0.3}
    )
    written = read_members(base, {"merged": folder})[0].vectors
    for name in expected:
        torch.testing.assert_close(
            dense(written[name]), dense(expected[name]), atol=1e-6, rtol=1e-5
        )


def test_a_rank_is_held_to_the_parameter() -> None:
    folder = merged("ties", rank=1)
    base = read_base(BASE)
    costs = {part: sum(base.files.shape(base.keys[part])) for part in ranks(folder)}
    spent = sum(costs[name] * rank for name, rank in ranks(folder).items())
    assert read_json(folder / "merge.json")["adapter"]["parameters"] == spent == sum(costs.values())


def ranks(folder: Path) -> dict[str, int]:
    return read_json(folder / "merge.json")["adapter"]["ranks"]


def test_lambda_is_the_best_on_validation_and_test_is_not_read() -> None:
    for task in TASKS:
        Path(f"data/tasks/{task}/test.parquet").rename(f"data/tasks/{task}/away")
    try:
        record = read_json(merged("task_arithmetic", scaling=[0.0, 0.5, 2.0]) / "merge.json")
        masks = read_json(merged("masks") / "merge.json")
    finally:
        for task in TASKS:
            Path(f"data/tasks/{task}/away").rename(f"data/tasks/{task}/test.parquet")
    tried = {one["value"]: one["mean"] for one in record["tried"]}
    assert list(tried) == [0.0, 0.5, 2.0]
    assert record["values"]["scaling"] == max(tried, key=lambda value: tried[value])
    assert masks["tried"] == [] and masks["objective"]


def test_the_average_of_two_equal_members_measures_what_the_member_does() -> None:
    own = read_json(Path("metrics/cells/questions/explicit-2.json"))
    test = next(r for r in own["seeds"] if (r["seed"], r["split"]) == (0, "test"))
    places = Path("data/adapters/places/explicit-2/seed-0")
    kept = places.with_name("kept")
    shutil.copytree(places, kept)
    try:
        # The other member's factors become those of this one; its head stays.
        mine = load_file(members()["questions"] / "adapter_model.safetensors")
        other = load_file(places / "adapter_model.safetensors")
        both = {key: mine[key] if "lora" in key else other[key] for key in other}
        save_file(both, places / "adapter_model.safetensors", metadata={"format": "pt"})
        found = measured("average", seeds=[0])["seeds"][0]
    finally:
        shutil.rmtree(places)
        kept.rename(places)
    assert found["task"] == "questions"
    assert found["accuracy"] == test["accuracy"]
    assert found["loss"] == pytest.approx(test["loss"], abs=1e-5)


def test_transductive_merges_read_test_and_say_so() -> None:
    result_folder = merged("masks", transductive=True)
    result = run(merge, "masks")
    assert "unlabelled rows of test" in result.output and "TRANSDUCTIVE" in result.output
    assert measured("masks", transductive=True)["transductive"] is True
    assert measured("task_arithmetic", transductive=True)["transductive"] is False
    assert result_folder.parent.name == "masks"


def test_a_seed_without_a_member_is_a_failed_seed() -> None:
    folder = members(seed=1)["places"]
    failure = {"error": "step 3: gone", "parameters": 1, "head_parameters": 1, "learning_rate": 1.0}
    write_json(folder / "failed.json", failure)
    try:
        record = measured("average")
    finally:
        (folder / "failed.json").unlink()
    assert record["failed"] == [{"seed": 1, "error": "no member: places/explicit-2: step 3: gone"}]
    assert {row["seed"] for row in record["seeds"]} == {0}


def test_a_merge_that_diverges_is_a_failed_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy = OBJECTIVES["entropy"]
    monkeypatch.setitem(OBJECTIVES, "entropy", lambda logits: entropy(logits) * float("nan"))
    failed = measured("masks")["failed"]
    assert [one["seed"] for one in failed] == [0, 1]
    assert "the objective is not finite" in failed[0]["error"]


def test_the_same_again_gives_the_same_bytes() -> None:
    first = files(str(merged("masks").parent))
    assert files(str(merged("masks").parent)) == first


def test_a_merge_is_taken_from_the_store_and_masks_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files(str(merged("masks").parent))
    monkeypatch.setenv("ADARANK_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("ADARANK_SCRATCH_SECONDS", "0")
    steps: list[int] = []
    save = merge.MergeCheckpoint.save

    def cut_short(self: Any, state: Any) -> None:
        save(self, state)
        steps.append(state.step)
        if len(steps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(merge.MergeCheckpoint, "save", cut_short)
    change_params(merges=("masks",))
    with pytest.raises(KeyboardInterrupt):
        merge.run(load(merge.Params, Path("params.yaml")), "masks")
    assert not Path("data/merged/masks").exists() or files("data/merged/masks") == whole
    result = run(merge, "masks")
    assert "goes on after step 3" in result.output
    assert files("data/merged/masks") == whole
    assert steps == [1, 2, 3, 4, 1, 2, 3, 4]
    assert run(merge, "masks").output.count("taken from the scratch store") == 2
    assert len(steps) == 8 and files("data/merged/masks") == whole


def test_masks_and_lambdas_are_recorded() -> None:
    record = measured("masks")
    kept = record["kept"]
    assert {row["task"] for row in kept} == set(TASKS)
    written = load_file(Path("data/merged/masks/seed-0/coefficients.safetensors"))
    for weight in {row["weight"] for row in kept}:
        listed = "".join(row["mask"] for row in kept if row["weight"] == weight)
        assert listed == "".join("1" if on else "0" for on in written[f"mask.{weight}"].tolist())
    assert any("0" in row["mask"] for row in kept)


def test_a_head_that_is_not_the_tasks_is_refused() -> None:
    merged("average", seeds=[0])
    heads = Path("data/merged/average/seed-0/heads")
    shutil.copy(heads / "places.safetensors", heads / "questions.safetensors")
    result = run(evaluate_merged, "average")
    assert result.exit_code == 2
    assert "the member's head is not that of its task" in result.output


def test_it_reads_what_it_says_of_the_params() -> None:
    assert key_paths(merge.Params) == key_paths(evaluate_merged.Params)
    assert "study.seeds" in key_paths(merge.Params)
