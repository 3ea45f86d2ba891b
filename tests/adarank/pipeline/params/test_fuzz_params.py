"""Any params.yaml is either refused in words, or as good as it says."""

import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML, YAMLError

from adarank.errors import AdaRankError
from adarank.pipeline.params.loader import load, parse, read_yaml
from adarank.pipeline.params.signal import SIGNALS
from adarank.pipeline.params.whole import WholeParams, check_params, resolved
from tests.fuzzing import JUNK, fuzz, mutated
from tests.whole import TOP

TEXT = (TOP / "params.yaml").read_text()
GOOD: dict[str, Any] = resolved(load(WholeParams, TOP / "params.yaml"))


def whole(low: int, high: float = 2**63 - 1) -> Callable[[Any], bool]:
    return lambda v: type(v) is int and low <= v <= high


def real(good: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda v: type(v) in (int, float) and isfinite(v) and good(v)


def word(*names: str) -> Callable[[Any], bool]:
    return lambda v: type(v) is str and (not names or v in names)


def maybe(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda v: v is None or good(v)


def each(good: Callable[[Any], bool], least: int = 1) -> Callable[[Any], bool]:
    return lambda v: type(v) is list and len(v) >= least and all(map(good, v)) and alone(v)


def alone(values: list[Any]) -> bool:
    return all(values.index(value) == place for place, value in enumerate(values))


def budget(value: Any) -> bool:
    return real(lambda v: v > 0)(value) and bool(re.fullmatch(r"\d+(\.\d+)?", str(value)))


def flag(value: Any) -> bool:
    return type(value) is bool


FRACTION = real(lambda v: 0 < v < 0.5)
POSITIVE = real(lambda v: v > 0)
NOT_NEGATIVE = real(lambda v: v >= 0)
DEVICE = re.compile(r"(auto|cpu|cuda(:\d+)?)")
# What each key may be, written apart from the schemas, by whoever reads the README's tables.
MAY: dict[str, Callable[[Any], bool]] = {
    "model.source": word(),
    "model.convert_pickle": flag,
    "tasks.questions.source": word(),
    "tasks.questions.type": word("classification", "regression", "causal_lm", "seq2seq"),
    "tasks.questions.bad_rows": word("refuse", "drop"),
    "tasks.questions.train_rows": maybe(whole(1)),
    "tasks.questions.num_classes": maybe(whole(2)),
    "tasks.questions.validation_fraction": FRACTION,
    "tasks.questions.test_fraction": maybe(FRACTION),
    "tasks.questions.validation_seed": whole(0),
    "tasks.questions.separator": maybe(
        lambda v: type(v) is str and len(v) == 1 and v not in '"\r\n'
    ),
    "tasks.questions.hidden": maybe(whole(1, 2**16)),
    "tasks.questions.loss": word("mse", "mae"),
    "tasks.questions.loss_on": word("all", "response"),
    "tasks.questions.packing": flag,
    "tasks.questions.max_new_tokens": whole(1),
    "probe.source": word(),
    "probe.rows": whole(1),
    "probe.max_length": whole(4),
    "probe.seed": whole(0),
    "score.estimator": word("exact", "linearized", "as_published"),
    "score.modules": lambda v: type(v) is list and bool(v) and all(type(m) is str for m in v),
    "score.trials": whole(1),
    "score.sketches": whole(1),
    "score.noise.scale": POSITIVE,
    "score.noise.bias": flag,
    "score.memory_gb": maybe(POSITIVE),
    "score.seed": whole(0),
    "score.device": lambda v: type(v) is str and bool(DEVICE.fullmatch(v)),
    "signal.rows": whole(1),
    "signal.warmup_steps": whole(0),
    "signal.warmup_learning_rate": real(lambda v: 0 < v <= 1),
    "signal.components": whole(1),
    "allocate.rounding": word("spend_all", "hamilton", "floor"),
    "allocate.min_rank": maybe(whole(0)),
    "allocate.permutations": whole(1, 1000),
    "allocate.max_rank": maybe(whole(1)),
    "allocate.scale.policy": word("ratio", "rslora", "constant"),
    "allocate.scale.value": POSITIVE,
    "allocate.seed": whole(0),
    "study.signals": each(word(*SIGNALS), 0),
    "study.strategies": each(word()),
    "study.budgets": each(budget),
    "study.seeds": each(whole(0, 2**32 - 1)),
    "finetune.learning_rate": lambda v: each(POSITIVE)(v if type(v) is list else [v]),
    "finetune.tuning_seed": lambda v: each(whole(0, 2**32 - 1))(v if type(v) is list else [v]),
    "finetune.rate_ratio": lambda v: each(real(lambda r: 0 < r <= 1e6))(
        v if type(v) is list else [v]
    ),
    "finetune.optimizer": word("adamw", "muon"),
    "finetune.ema": maybe(real(lambda v: 0 < v < 1)),
    "finetune.schedule": word("linear", "cosine", "constant", "staircase"),
    "finetune.warmup_fraction": real(lambda v: 0 <= v < 1),
    "finetune.steps": whole(1),
    "finetune.batch_size": whole(1),
    "finetune.max_length": whole(4),
    "finetune.patience": maybe(whole(1)),
    "finetune.dropout": real(lambda v: 0 <= v < 1),
    "finetune.weight_decay": NOT_NEGATIVE,
    "finetune.max_grad_norm": NOT_NEGATIVE,
    "finetune.bf16": lambda v: v == "auto" or flag(v),
    "evaluate.batch_size": whole(1),
    "evaluate.train_rows": maybe(whole(1)),
    "evaluate.device": word("auto", "cpu", "cuda"),
}


def refused(path: Path) -> bool:
    """Whether a params file is refused; anything but words for it is a fault of ours."""
    try:
        problems = check_params(path)
    except AdaRankError as error:
        problems = list(error.problems)
    for problem in problems:
        str(problem).encode()
        assert problem.what and problem.where and problem.remedy
    return bool(problems)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "params.yaml"


def test_the_oracle_finds_the_project_s_own_params_good(file: Path) -> None:
    file.write_text(TEXT)
    assert not refused(file)
    check_by_oracle(GOOD)


def check_by_oracle(given: Any) -> None:
    values = resolved(parse(WholeParams, given, Path("params.yaml")))
    assert set(values) == set(GOOD)
    if set(values["tasks"]) != {"questions"}:
        return  # the keys below are of this one
    for key, good in MAY.items():
        value = values
        for name in key.split("."):
            value = value[name]
        assert good(value), f"{key}: {value!r} was accepted"
    for section in ("model", "probe", "score", "signal", "allocate", "evaluate"):
        assert set(values[section]) == set(GOOD[section]), section
    assert values["study"]["reference"] in values["study"]["strategies"]
    assert values["study"]["signals"] or values["study"]["task_signals"]


@fuzz
@given(mutated(GOOD))
def test_a_mutated_value_is_refused_or_good(file: Path, values: Any) -> None:
    try:
        with file.open("w", encoding="utf-8") as stream:
            YAML(typ="safe", pure=True).dump(values, stream)
    except (YAMLError, UnicodeEncodeError, ValueError, TypeError):
        return  # no YAML says this
    if not refused(file):
        check_by_oracle(read_yaml(file))


@fuzz
@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 40),
    st.one_of(
        st.text(max_size=20), st.text(alphabet=":-[]{}&*!|>%@`'\"#?, \n\tax0.e+~", max_size=20)
    ),
)
def test_a_mutated_text_is_refused_or_good(file: Path, at: int, taken: int, put: str) -> None:
    try:
        file.write_text(TEXT[:at] + put + TEXT[at + taken :], encoding="utf-8")
    except UnicodeEncodeError:
        return
    if not refused(file):
        check_by_oracle(read_yaml(file))


@fuzz
@given(
    st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_any_bytes_are_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert refused(file)


@fuzz
@given(st.sampled_from(sorted(GOOD)), JUNK)
@example("strategies", [])
@example("study", GOOD["study"] | {"budgets": [10**400]})
def test_a_section_of_junk_is_refused_or_good(file: Path, section: str, junk: Any) -> None:
    try:
        with file.open("w", encoding="utf-8") as stream:
            YAML(typ="safe", pure=True).dump(GOOD | {section: junk}, stream)
    except (YAMLError, UnicodeEncodeError, ValueError, TypeError):
        return
    if not refused(file):
        check_by_oracle(read_yaml(file))
