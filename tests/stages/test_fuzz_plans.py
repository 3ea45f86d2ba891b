"""Any plan, score table or strategy is either refused in words, or gives a plan that holds."""

import json
from collections.abc import Iterator
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from adarank.allocation.allocate import allocate
from adarank.allocation.plan import RankPlan
from adarank.errors import AdaRankError
from adarank.pipeline.artifacts.cell import Cell
from adarank.pipeline.files.tables import write_parquet
from adarank.pipeline.files.whole import folder_sha256, read_json
from adarank.pipeline.params.loader import load
from stages.allocate import Params, read_scores, run
from tests.fuzzing import JUNK, NUMBERS, fuzz, mutated
from tests.tables import score_table
from tests.whole import TOP

SHAPES = [("query", "query", 6, 6), ("up", "up", 6, 10), ("down", "down", 10, 6)]
TABLE = score_table(SHAPES, 2, trials=2)
ABOUT = {"model_sha256": "ab" * 32}
WHOLE: dict[str, Any] = YAML(typ="safe", pure=True).load(TOP / "params.yaml")
PARAMS = {section: WHOLE[section] for section in ("allocate", "strategies")}
PLAN = allocate(TABLE, budget=2, strategy="uniform", **ABOUT).to_json()
SCORES = Path("data/scores/model/disagreement.parquet")

COLUMNS = st.one_of(
    *(
        st.lists(part, min_size=len(TABLE), max_size=len(TABLE))
        for part in (
            NUMBERS.filter(lambda v: isinstance(v, float)),
            st.integers(-3, 12),
            st.integers(-(2**63), 2**63 - 1),
            st.sampled_from([0.0, 1.0, 1e-320, 1e-300, 1.7e308]),
            st.text(alphabet="ab. \u0131", max_size=4),
            st.one_of(st.none(), st.text(max_size=2)),
            st.booleans(),
            st.one_of(st.none(), st.floats(0, 9)),
            st.dates(),
            st.binary(max_size=2),
            st.lists(st.integers(0, 3), max_size=2),
        )
    )
)


@pytest.fixture(scope="module", autouse=True)
def _project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzz"))
        Path("data/model").mkdir(parents=True)
        Path("data/model/config.json").write_text("{}")
        Path("data/plans/uniform-2").mkdir(parents=True)
        write_params()
        write_parquet(SCORES, TABLE, ABOUT)
        yield


def write_params(**changed: dict[str, Any]) -> None:
    values = PARAMS | {key: PARAMS[key] | value for key, value in changed.items()}
    with Path("params.yaml").open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(values, stream)


def check_plan(plan: dict[str, Any]) -> None:
    """Hold a plan to what a plan is, from its JSON alone."""
    modules, scale = plan["modules"], plan["scale"]
    assert len({m["name"] for m in modules}) == len(modules)
    assert [(m["block"], m["name"]) for m in modules] == sorted(
        (m["block"], m["name"]) for m in modules
    )
    assert sum(m["parameters"] for m in modules) == plan["parameters"]
    assert isfinite(plan["budget"]) and scale["value"] > 0
    for m in modules:
        assert type(m["rank"]) is int and m["rank"] >= 0
        alpha = scale["value"] * (m["rank"] if scale["policy"] == "ratio" else 1)
        assert m["alpha"] == (alpha if m["rank"] else 0) and isfinite(m["alpha"])
        assert m["parameters"] % m["rank"] == 0 if m["rank"] else m["parameters"] == 0


def check_allocated(
    plan: dict[str, Any], table: pd.DataFrame, least: int, most: int | None
) -> None:
    """Hold a plan to the score table that it was made from, and to its bounds."""
    check_plan(plan)
    rows = table.drop_duplicates("module").set_index("module")
    assert {m["name"] for m in plan["modules"]} == set(rows.index)
    spent = 0
    for m in plan["modules"]:
        d_in, d_out = int(rows.loc[m["name"], "d_in"]), int(rows.loc[m["name"], "d_out"])
        assert m["block"] == rows.loc[m["name"], "block"]
        assert m["parameters"] == m["rank"] * (d_in + d_out)
        assert m["rank"] <= min(d_in, d_out)
        if plan["tuner"] != "full" and not plan["strategy"].startswith("literal_"):
            assert least <= m["rank"] <= (most or m["rank"])
        spent += m["rank"] * (d_in + d_out)
    whole = sum(int(i) + int(o) for i, o in zip(rows["d_in"], rows["d_out"], strict=True))
    if not plan["strategy"].startswith("literal_"):
        assert spent <= Fraction(plan["budget"]) * whole * (1 + Fraction(1, 2**50))


@fuzz
@given(mutated(PLAN, most=3))
@example(PLAN)
@example([])
@example(None)
def test_a_mutated_plan_is_refused_or_holds(value: Any) -> None:
    try:
        plan = RankPlan.from_json(value)
    except AdaRankError as error:
        assert all(problem.where and problem.remedy for problem in error.problems)
        return
    check_plan(plan.to_json())
    assert RankPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert set(plan.scaling) == set(plan.target_modules)
    assert all(isfinite(factor) for factor in plan.scaling.values())


@fuzz
@given(st.integers(0, 2000), st.integers(0, 6), st.binary(max_size=4))
def test_a_damaged_plan_file_is_refused_or_holds(at: int, taken: int, put: bytes) -> None:
    good = json.dumps(PLAN | {"model_sha256": folder_sha256(Path("data/model"))}).encode()
    Path("data/plans/uniform-2/questions.json").write_bytes(good[:at] + put + good[at + taken :])
    try:
        plan = Cell("questions", "uniform", "2").read_plan()
    except AdaRankError as error:
        assert all(
            "data/plans/uniform-2/questions.json" in problem.where for problem in error.problems
        )
        return
    check_plan(plan.to_json())
    assert (plan.strategy, plan.budget) == ("uniform", 2)


@fuzz
@given(
    st.dictionaries(st.sampled_from([*TABLE.columns, "component", "other"]), COLUMNS, max_size=3),
    st.lists(st.sampled_from([*TABLE.columns]), max_size=1),
    st.lists(st.integers(0, len(TABLE) - 1), max_size=len(TABLE)) | st.none(),
    st.sampled_from(["disagreement", "uniform", "reversed", "permuted", "linear_decay"]),
    st.sampled_from(["0.5", "1", "2", "3.7", "6"]),
)
def test_a_score_table_is_refused_or_shared_out(
    columns: dict[str, list[Any]],
    without: list[str],
    rows: list[int] | None,
    strategy: str,
    budget: str,
) -> None:
    table = TABLE.assign(**columns).drop(columns=without)
    table = table if rows is None else table.iloc[rows]
    try:
        write_parquet(SCORES, table, ABOUT)
    except pa.ArrowException:
        assume(False)
    path = Path(f"data/plans/{strategy}-{budget}/questions.json")
    path.unlink(missing_ok=True)
    write_params()
    try:
        run(load(Params, Path("params.yaml")), strategy, budget)
    except AdaRankError:
        assert not path.exists()
        return
    finally:
        write_parquet(SCORES, TABLE, ABOUT)
    check_allocated(read_json(path), table, 1, None)


@fuzz
@given(st.binary(min_size=1, max_size=8), st.integers(0, 10_000), st.booleans())
@example(b"\x80", 27, False)  # a name that is no UTF-8, found only where it was used
def test_a_damaged_score_file_is_refused_or_read(put: bytes, at: int, torn: bool) -> None:
    write_parquet(SCORES, TABLE, ABOUT)
    good = SCORES.read_bytes()
    at %= len(good)
    SCORES.write_bytes(good[:at] + put + (b"" if torn else good[at + len(put) :]))
    try:
        tables, model = read_scores(["disagreement"], "questions")
    except AdaRankError as error:
        assert all(problem.where and problem.remedy for problem in error.problems)
        return
    finally:
        SCORES.write_bytes(good)
    assert isinstance(model, str) and np.isfinite(tables["disagreement"].score).all()


RANKS = st.one_of(
    st.lists(st.integers(0, 8), min_size=2, max_size=2), st.lists(NUMBERS, max_size=3), JUNK
)
LISTS = st.one_of(
    st.from_regex(r"\A[0-9],[0-9]( [0-9],[0-9]){0,2}\Z"), st.text(alphabet="019, ²-.e", max_size=9)
)
KINDS = st.sampled_from(["query", "up", "down", "key", ""])
PARTS = st.dictionaries(
    st.sampled_from(
        ["uniform", "disagreement", "linear_decay", "literal_empirical", "full", "mine"]
    ),
    st.one_of(st.floats(0, 9), NUMBERS),
    max_size=3,
)
DEFINITIONS = st.one_of(
    st.fixed_dictionaries({"custom": st.fixed_dictionaries({"layer_ranks": RANKS})}),
    st.fixed_dictionaries({"explicit": st.one_of(LISTS, st.dictionaries(KINDS, LISTS | RANKS))}),
    st.fixed_dictionaries({"combined": PARTS}),
    JUNK,
)


@fuzz
@given(
    DEFINITIONS,
    st.sampled_from(["mine", "reversed_mine", "permuted_mine", "literal_mine"]),
    st.sampled_from(["0.3", "1", "2", "5.5", "7"]),
    st.sampled_from(["spend_all", "hamilton", "floor"]),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(1, 7)),
    st.one_of(st.floats(1e-3, 64), NUMBERS),
    st.sampled_from(["ratio", "rslora", "constant"]),
)
@example({"combined": {"uniform": 10**400}}, "mine", "0.3", "spend_all", 0, None, 1.0, "ratio")
def test_a_strategy_of_ones_own_is_refused_or_shared_out(
    definition: Any,
    strategy: str,
    budget: str,
    rounding: str,
    least: int,
    most: int | None,
    value: float,
    policy: str,
) -> None:
    options = {"rounding": rounding, "min_rank": least, "max_rank": most}
    scale = {"policy": policy, "value": value}
    try:
        write_params(allocate={**options, "scale": scale}, strategies={"mine": definition})
    except (UnicodeEncodeError, ValueError, TypeError):
        assume(False)
    path = Path(f"data/plans/{strategy}-{budget}/questions.json")
    path.unlink(missing_ok=True)
    try:
        run(load(Params, Path("params.yaml")), strategy, budget)
    except AdaRankError:
        assert not path.exists()
        return
    plan = read_json(path)
    check_allocated(plan, TABLE, least, most)
