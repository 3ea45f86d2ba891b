import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.allocation.rounding.apportion import ROUNDINGS
from adarank.allocation.scale import Scale
from adarank.allocation.strategies.registry import STRATEGIES, find_strategy
from adarank.pipeline.artifacts.places import SCORES
from adarank.pipeline.files.tables import read_parquet, write_parquet
from adarank.pipeline.params.allocate import AllocateSection
from adarank.pipeline.params.signal import SIGNALS
from stages.allocate import app
from tests.tables import BERT, score_table, with_components

PARAMS = """\
allocate:
  rounding: spend_all
  min_rank: 1
  max_rank: null
  scale: {policy: ratio, value: 2.0}
  seed: 0
study: {tasks: [questions]}
strategies: {}
score: {another: stage's}
"""
ABOUT = {"model_sha256": "ab" * 32, "signal": "disagreement"}
ABOUT_PLAN = {"model_sha256": ABOUT["model_sha256"]}
PLAN_1 = Path("data/plans/disagreement-1/questions.json")
TOP = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    write_parquet(
        Path("data/scores/model/disagreement.parquet"), score_table(BERT, 12, trials=2), ABOUT
    )


def write_all_signals() -> None:
    table = score_table(BERT, 12)
    draws = np.random.default_rng(0).gamma(1.0, size=(len(table), 32)).tolist()
    for name in {s for strategy in STRATEGIES.values() for s in strategy.signals}:
        split = name in ("gradient_spectrum", "activation_variance", "measured")
        scores = with_components(table, draws) if split else table
        place = "model" if name in SIGNALS else "questions"
        about = ABOUT | ({"runs": 45, "steps": 300} if name == "measured" else {})
        write_parquet(SCORES / place / f"{name}.parquet", scores, about)


def call(strategy: str, budget: str, *options: str):
    return CliRunner().invoke(app, ["--strategy", strategy, "--budget", budget, *options])


def set_params(old: str, new: str) -> None:
    assert old in PARAMS
    Path("params.yaml").write_text(PARAMS.replace(old, new))


@pytest.mark.parametrize(
    "strategy", [*STRATEGIES, "permuted_fisher", "reversed_linear_decay", "last_3_blocks"]
)
def test_a_plan_is_written_for_every_strategy(strategy):
    write_all_signals()
    result = call(strategy, "4")
    assert result.exit_code == 0, result.output
    form = json.loads(Path(f"data/plans/{strategy}-4/questions.json").read_text())
    plan = RankPlan.from_json(form)
    # mlp_only's modules cost 3840 a rank, of which 172 fit.
    spent = {"full": 0, "mlp_only": 172 * 3840}.get(strategy, 4 * 12 * 13824)
    assert plan.parameters == spent
    assert (plan.strategy, plan.budget) == (strategy, 4)
    assert plan.model_sha256 == ABOUT["model_sha256"]
    assert plan.tuner == find_strategy(strategy).tuner
    if plan.scale.policy == "ratio":
        assert set(plan.scaling.values()) <= {2.0}


@pytest.mark.parametrize("unit", ["training_flops", "memory"])
def test_a_budget_in_another_unit_is_spent_and_stated(unit):
    set_params("  min_rank: 1", f"  min_rank: 1\n  unit: {unit}\n  step: {{rows: 8, tokens: 20}}")
    result = call("last_3_blocks", "4")
    assert result.exit_code == 0, result.output
    form = json.loads(Path("data/plans/last_3_blocks-4/questions.json").read_text())
    plan = RankPlan.from_json(form)
    assert plan.unit == unit and plan.cost and plan.cost.spent[0] <= plan.cost.budget
    words = {"training_flops": "GFLOP a step", "memory": "MiB of training memory"}[unit]
    assert words in result.output and f"{plan.parameters:,} parameters" in result.output


def test_a_block_has_the_price_of_the_parameters_file():
    set_params("  min_rank: 1", "  min_rank: 1\n  price_per_block: 0.3")
    assert call("priced_uniform", "4").exit_code == 0
    form = json.loads(Path("data/plans/priced_uniform-4/questions.json").read_text())
    assert {m.block for m in RankPlan.from_json(form).adapted} == {11}


def test_a_measured_plan_says_what_its_runs_took():
    table = with_components(score_table(BERT, 12), [[3.0, 2.0, 1.0] + [0.5] * 29] * 72)
    table["score"] *= 1 + np.arange(len(table)) % 7
    about = ABOUT | {"signal": "measured", "runs": 45, "steps": 300}
    missing = call("measured", "4")
    assert missing.exit_code == 2 and "bench.landscape --task questions --write" in missing.output
    write_parquet(SCORES / "questions" / "measured.parquet", table, about)
    result = call("measured", "4")
    assert result.exit_code == 0, result.output
    form = json.loads(Path("data/plans/measured-4/questions.json").read_text())
    note = "its weights come from 45 runs of 300 steps, which are part of what this plan costs"
    assert RankPlan.from_json(form).note == note and note in " ".join(result.output.split())


def test_rslora_keeps_uniforms_alpha():
    assert call("rslora", "4").exit_code == 0
    plan = RankPlan.from_json(json.loads(Path("data/plans/rslora-4/questions.json").read_text()))
    assert {module.alpha for module in plan.modules} == {8.0}
    assert set(plan.scaling.values()) == {4.0}


def test_a_definition_becomes_a_strategy():
    ranks = ", ".join("123456789999")
    set_params("strategies: {}", f"strategies: {{mine: {{custom: {{layer_ranks: [{ranks}]}}}}}}")
    result = call("literal_mine", "4")
    assert result.exit_code == 0, result.output
    plan = RankPlan.from_json(
        json.loads(Path("data/plans/literal_mine-4/questions.json").read_text())
    )
    assert [m.rank for m in plan.modules if m.kind == "query"] == [*range(1, 10), 9, 9, 9]


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("fisher: {explicit: '1,2'}", ("fisher has a meaning already", "uniform")),
        ("permuted_x: {explicit: '1,2'}", ("permuted_x has a meaning already",)),
        ("last_2_blocks: {explicit: '1,2'}", ("last_2_blocks has a meaning already",)),
        ("Mine: {explicit: '1,2'}", ("strategies", "Mine")),
        ("mine: {}", ("exactly one of custom, explicit, combined",)),
        ("mine: {explicit: '1', combined: {fisher: 1}}", ("exactly one of",)),
        ("mine: {custom: {layer_ranks: [1, 2.5]}}", ("layer_ranks.1", "integer")),
        ("mine: {custom: {layer_ranks: [1, 2]}}", ("not as many ranks as blocks", "12")),
        ("mine: {combined: {fischer: 1}}", ("unknown strategy", "fischer")),
        ("mine: {combined: {fisher: 1}}", ("not scored: fisher", "score_task")),
    ],
)
def test_definitions_that_cannot_be_used(definition, words):
    set_params("strategies: {}", f"strategies: {{{definition}}}")
    result = call("mine", "4")
    assert result.exit_code == 2
    for word in words:
        assert word in result.output


def test_a_strategy_without_its_signal_says_what_to_add():
    result = call("reversed_fisher", "4")
    assert result.exit_code == 2
    for word in ("not scored: fisher", "study.task_signals", "score_task@TASK-SIGNAL"):
        assert word in " ".join(result.output.split())


def test_scores_of_two_models_are_refused():
    write_parquet(
        SCORES / "questions/fisher.parquet", score_table(BERT, 12), {"model_sha256": "cd" * 32}
    )
    set_params("strategies: {}", "strategies: {both: {combined: {fisher: 1, disagreement: 1}}}")
    result = call("both", "4")
    assert result.exit_code == 2
    assert "of different models" in result.output


def test_the_ranks_are_shown_at_a_glance():
    output = call("uniform", "4").output
    rows = [line.split() for line in output.splitlines()]
    for word in ("query", "key", "value", "dense", "up", "down"):
        assert word in output
    assert any([cell for cell in row if cell.isdigit()] == ["11", *"444444"] for row in rows)
    assert "663,552 of 663,552 parameters; 72 of 72 modules" in output


def test_a_plan_that_its_bounds_make_uniform_says_so():
    result = call("disagreement", "1")
    assert result.exit_code == 0
    assert "leaves nothing to decide" in " ".join(result.output.split())
    assert "nothing to decide" in json.loads(PLAN_1.read_text())["note"]


def test_the_least_rank_follows_the_budget_where_none_is_given():
    set_params("  min_rank: 1\n", "")
    assert call("disagreement", "1").exit_code == 0
    plan = RankPlan.from_json(json.loads(PLAN_1.read_text()))
    assert 0 in plan.ranks.values() and plan.note == ""


def test_a_fractional_budget_keeps_its_text():
    set_params("min_rank: 1", "min_rank: 0")
    assert call("uniform", "0.50").exit_code == 0
    plan = RankPlan.from_json(
        json.loads(Path("data/plans/uniform-0.50/questions.json").read_text())
    )
    assert plan.parameters == 12 * 13824 / 2


@pytest.mark.parametrize(
    ("old", "new", "option"),
    [
        ("rounding: spend_all", "rounding: floor", {"rounding": "floor"}),
        ("min_rank: 1", "min_rank: 3", {"min_rank": 3}),
        ("max_rank: null", "max_rank: 5", {"max_rank": 5}),
        ("policy: ratio", "policy: rslora", {"scale": Scale("rslora", 2.0)}),
        ("seed: 0", "seed: 3", {"seed": 3}),
        ("seed: 0", "seed: 0\n  permutations: 2", {"permutations": 2}),
    ],
)
def test_every_parameter_reaches_the_plan(old, new, option):
    set_params(old, new)
    assert call("permuted", "4").exit_code == 0
    plan = RankPlan.from_json(json.loads(Path("data/plans/permuted-4/questions.json").read_text()))
    scores = score_table(BERT, 12, trials=2)
    usual = {"budget": 4, "strategy": "permuted", "scale": Scale("ratio", 2.0), **ABOUT_PLAN}
    usual |= {"permutations": 5}
    assert plan == allocate(scores, **(usual | option))
    assert plan != allocate(scores, **usual)


def test_the_same_inputs_give_the_same_bytes():
    written = set()
    for hash_seed in ("0", "1"):
        command = [sys.executable, "-m", "stages.allocate", "--strategy", "permuted"]
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TOP)}
        subprocess.run([*command, "--budget", "4"], env=env, check=True, capture_output=True)
        written.add(Path("data/plans/permuted-4/questions.json").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize(
    ("strategy", "budget", "word"),
    [
        ("disagrement", "4", "permuted"),
        ("uniform", "0.5", "average rank 1 to 768"),
        ("uniform", "four", "plain digits"),
        ("uniform", "-4", "plain digits"),
        ("uniform", "nan", "plain digits"),
        ("../uniform", "4", "unknown strategy"),
    ],
)
def test_what_cannot_be_done_exits_2_and_writes_nothing(strategy, budget, word):
    result = call(strategy, f"{budget}")
    assert result.exit_code == 2
    assert word in result.output
    assert not Path("data/plans").exists()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("rounding: spend_all", "rounding: nearest", "allocate.rounding"),
        ("rounding: spend_all", "rounding: exact", "exact is now called spend_all"),
        ("min_rank: 1", "min_rank: 0.5", "allocate.min_rank"),
        ("max_rank: null", "max_rank: 0", "allocate.max_rank"),
        ("policy: ratio", "policy: fixed", "allocate.scale.policy"),
        ("value: 2.0", "value: 0", "allocate.scale.value"),
        ("seed: 0", "sed: 0", "allocate.sed"),
    ],
)
def test_parameters_are_read_strictly(old, new, key):
    set_params(old, new)
    result = call("uniform", "4")
    assert result.exit_code == 2
    assert key in result.output


def test_absent_scores_say_what_to_run():
    Path("data/scores/model/disagreement.parquet").unlink()
    result = call("uniform", "4")
    assert result.exit_code == 2
    assert "dvc repro" in result.output


def test_scores_of_an_unknown_model_are_refused():
    write_parquet(Path("data/scores/model/disagreement.parquet"), score_table(BERT, 2), {})
    result = call("uniform", "4")
    assert result.exit_code == 2
    assert "which model" in result.output


def test_a_malformed_table_is_refused():
    scores = score_table(BERT, 2).drop(columns="score")
    write_parquet(Path("data/scores/model/disagreement.parquet"), scores, ABOUT)
    result = call("disagreement", "4")
    assert result.exit_code == 2
    assert "columns missing" in result.output


def test_the_schema_names_the_roundings_there_are():
    assert set(get_args(AllocateSection.model_fields["rounding"].annotation)) == set(ROUNDINGS)


def test_the_stage_needs_no_torch():
    code = "import sys, stages.allocate; sys.exit(bool({'torch', 'peft'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=TOP).returncode == 0


def with_directions(components: int, width: int = 64) -> pd.DataFrame:
    """A table of gradient_directions: the first axes, whatever the module."""
    table = score_table(BERT, 12)
    draws = np.random.default_rng(0).gamma(1.0, size=(len(table), components)).tolist()
    scores = with_components(table, draws)
    axes = [np.eye(width, dtype=np.float32)[c] for c in scores["component"]]
    return scores.assign(direction=pd.Series(axes, dtype=object, index=scores.index))


def test_a_start_along_the_gradient_has_as_many_directions_as_rank():
    write_parquet(SCORES / "questions/gradient_directions.parquet", with_directions(5), ABOUT)
    result = call("gradient_start_disagreement", "4")
    assert result.exit_code == 2 and "ranks above the directions kept" in result.output
    assert "remedy:   signal.components: " in result.output
    most = re.search(r"signal.components: (\d+)", result.output)
    assert most
    write_parquet(
        SCORES / "questions/gradient_directions.parquet", with_directions(int(most[1])), ABOUT
    )
    assert call("gradient_start_disagreement", "4").exit_code == 0
    folder = Path("data/plans/gradient_start_disagreement-4")
    plan = RankPlan.from_json(json.loads((folder / "questions.json").read_text()))
    assert plan.start == "gradient"
    plain = call("disagreement", "4")
    assert plain.exit_code == 0
    assert (
        json.loads(Path("data/plans/disagreement-4/questions.json").read_text())["modules"]
        == json.loads((folder / "questions.json").read_text())["modules"]
    )
    rows = load_file(folder / "questions.safetensors")
    assert {name: len(found) for name, found in rows.items()} == plan.ranks
    name, rank = next(iter(plan.ranks.items()))
    assert np.array_equal(rows[name], np.eye(64, dtype=np.float32)[:rank])


@pytest.mark.parametrize("strategy", ["uniform", "orthogonal_start_uniform"])
def test_a_drawn_start_has_a_file_of_no_directions(strategy):
    assert call(strategy, "1").exit_code == 0
    assert load_file(f"data/plans/{strategy}-1/questions.safetensors") == {}


def test_every_draw_of_a_permuted_plan_finds_its_directions():
    write_parquet(SCORES / "questions/gradient_directions.parquet", with_directions(40), ABOUT)
    assert call("gradient_start_permuted_disagreement", "4").exit_code == 0
    folder = Path("data/plans/gradient_start_permuted_disagreement-4")
    plan = RankPlan.from_json(json.loads((folder / "questions.json").read_text()))
    rows = load_file(folder / "questions.safetensors")
    ranks = [plan.for_seed(seed).ranks for seed in range(plan.draws)]
    assert plan.draws == 5
    assert {name: max(one[name] for one in ranks) for name in plan.ranks} == {
        name: len(found) for name, found in rows.items()
    }


def test_biases_and_norms_are_read_from_the_scores_footer():
    refused = call("bias_norm_uniform", "4")
    assert refused.exit_code == 2 and "do not name the model's biases and norms" in refused.output
    for path in SCORES.rglob("*.parquet"):
        table, about = read_parquet(path)
        bias_norm = {"biases": {"layer.0.query": 64}, "norms": {"layer.0.norm": 128}}
        write_parquet(path, table, about | {"bias_norm": bias_norm})
    done = call("bias_norm_uniform", "4")
    assert done.exit_code == 0, done.output
    assert "64 parameters in 1 bias, 128 in 1 norm; ranks with what is left" in done.output
    plan = json.loads(Path("data/plans/bias_norm_uniform-4/questions.json").read_text())
    ranks = sum(module["parameters"] for module in plan["modules"])
    assert plan["parameters"] == ranks + 192
    assert plan["bias_norm"]["norms"] == {"layer.0.norm": 128}
