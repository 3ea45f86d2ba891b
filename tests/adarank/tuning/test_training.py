"""Training: the same as a plain loop, the same twice, and stopped where it goes wrong."""

import hashlib
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn

from adarank.errors import InputError, RunError
from adarank.tasks.base import Batch, Example, Task
from adarank.tasks.registry import make_task
from adarank.tuning.loop.batches import LengthBatches
from adarank.tuning.loop.schedules import Schedule
from adarank.tuning.loop.training import Settings, train
from adarank.tuning.loop.watch import Trained
from adarank.tuning.lora import attach
from adarank.tuning.prediction import predict
from adarank.tuning.saving import save_adapter
from adarank.tuning.seeds import generator
from tests.pico import pico_bert_config, pico_rows, pico_tokenizer, save_pico_model
from tests.plans import make_plan, uneven

SETTINGS = Settings(
    learning_rate=1e-2, schedule=Schedule("constant"), steps=6, batch_size=8, evaluate_every=2
)
TASK = make_task(
    {"type": "classification", "labels": ["who", "what", "where"]}, pico_tokenizer(), 32
)
TRAIN = TASK.encode(pico_rows(30)).examples
VALIDATION = TASK.encode(pico_rows(12, seed=1)).examples


def built(folder: Path, rank: Callable[[Any], int] = uneven, dropout: float = 0.0) -> PeftModel:
    plan = make_plan(folder, rank)
    return attach(TASK.build(folder, 0), plan, peft_type=TASK.peft_type, dropout=dropout, seed=0)


def run(model: PeftModel, task: Task = TASK, seed: int = 0, **changed: Any) -> Trained:
    return train(model, task, TRAIN, VALIDATION, replace(SETTINGS, **changed), seed)


def measured(model: PeftModel) -> dict[str, float | None]:
    """The model's metrics on the validation rows."""
    cpu = torch.device("cpu")
    return TASK.metrics(predict(model, TASK, VALIDATION, batch_size=8, device=cpu))


def digest(folder: Path, to: Path) -> str:
    """Train with dropout for a few steps, save, and hash what was saved."""
    model = built(folder, dropout=0.1)
    run(model)
    save_adapter(model, to, "data/model")
    both = [(to / name).read_bytes() for name in sorted(path.name for path in to.iterdir())]
    return hashlib.sha256(b"".join(both)).hexdigest()


def test_the_same_as_a_plain_loop(tmp_path: Path):
    config = pico_bert_config()
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    folder = save_pico_model(tmp_path, config)
    ours, plain = built(folder), built(folder)
    settings = {"max_grad_norm": 0.5, "weight_decay": 0.1, "evaluate_every": 100}
    curve = run(ours, **settings).curve

    trainable = {name: p for name, p in plain.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for n, p in trainable.items() if "bias" not in n], "weight_decay": 0.1},
        {"params": [p for n, p in trainable.items() if "bias" in n], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    order = LengthBatches([len(e["input_ids"]) for e in TRAIN], 8, generator(0, "order"))
    batches = [rows for _ in range(2) for rows in order][:6]
    plain.train()
    for row, rows in zip(curve.itertuples(), batches, strict=True):
        loss = plain(**TASK.collate([TRAIN[index] for index in rows])).loss
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trainable.values(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        assert row.train_loss == pytest.approx(loss.item(), rel=1e-5)
        assert row.gradient_norm == pytest.approx(norm.item(), rel=1e-5)
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter, trainable[name], rtol=1e-4, atol=1e-6)


def test_it_learns_and_keeps_the_best_weights(pico_model: Path):
    model = built(pico_model)
    trained = run(model, steps=40, evaluate_every=5, learning_rate=2e-2)
    looks = trained.curve.dropna()
    assert trained.curve["step"].tolist() == list(range(1, 41)) and len(looks) == 8
    best = looks.loc[looks["validation_loss"].idxmin()]
    assert trained.best_step == best["step"] and best["validation_accuracy"] > 0.8
    assert measured(model) == pytest.approx(trained.validation)
    assert trained.validation["loss"] == best["validation_loss"]


def test_the_last_step_is_looked_at(pico_model: Path):
    curve = run(built(pico_model), steps=5, evaluate_every=3).curve
    assert curve.dropna()["step"].tolist() == [3, 5]


def test_a_run_that_no_longer_improves_ends(pico_model: Path):
    # So high a rate that no look after the first is better than the ones before.
    model = built(pico_model)
    trained = run(
        model, steps=40, evaluate_every=1, patience=3, learning_rate=1.0, select_by="accuracy"
    )
    looks = trained.curve["validation_accuracy"]
    assert len(looks) == trained.best_step + 3 < 40
    assert looks[trained.best_step - 1] == looks.max()
    assert measured(model) == pytest.approx(trained.validation)


def test_the_metric_to_select_by_must_be_the_tasks(pico_model: Path):
    with pytest.raises(InputError, match="one of: loss, accuracy"):
        run(built(pico_model), select_by="bleu")


def test_order_of_rows_is_the_seeds_alone(pico_model: Path):
    def batches(rank: Callable[[Any], int], dropout: float, seed: int) -> list[list[int]]:
        seen: list[list[int]] = []
        row = {id(example): index for index, example in enumerate(TRAIN)}

        class Noted(type(TASK)):
            def collate(self, examples: Sequence[Example]) -> Batch:
                if id(examples[0]) in row:
                    seen.append([row[id(example)] for example in examples])
                return super().collate(examples)

        noted = Noted(TASK.labels, TASK.tokenizer, TASK.max_length)  # type: ignore[attr-defined]
        run(built(pico_model, rank, dropout), noted, seed, steps=8, evaluate_every=100)
        return seen

    first = batches(uneven, 0.2, seed=0)
    assert len(first) >= 8
    assert batches(lambda _: 2, 0.0, seed=0) == first
    assert batches(uneven, 0.2, seed=1) != first


def test_batches_are_of_like_length_and_hold_every_row_once():
    lengths = [int(n) for n in torch.randint(3, 40, (203,), generator=generator(0, "test"))]
    dealer = LengthBatches(lengths, 8, generator(0, "order"))
    first, second = list(dealer), list(dealer)
    assert len(first) == len(dealer) == 26 and first != second
    assert sorted(row for batch in first for row in batch) == list(range(203))
    waste = sum(max(lengths[i] for i in b) - lengths[j] for b in first for j in b) / sum(lengths)
    assert waste < 0.15
    longest = [max(lengths[index] for index in batch) for batch in first]
    assert longest != sorted(longest, reverse=True)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant"), [1, 1, 1, 1, 1, 1]),
        (Schedule("linear"), [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (Schedule("linear", warmup_steps=2), [0, 1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]),
        (Schedule("cosine"), [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]),
        (Schedule("staircase", 0, 0.8, 2), [1, 1, 0.8, 0.8, 0.64, 0.64]),
        (Schedule("staircase", 2, 0.5, 3), [0, 0.5, 1, 1, 1, 0.5]),
    ],
)
def test_schedules_have_their_closed_forms(schedule: Schedule, expected: list[float]):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
    scheduler = schedule.build(optimizer, steps=6)
    used: list[float] = []
    for _ in range(6):
        used += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert used == pytest.approx([1e-2 * part for part in expected])


def test_the_learning_rate_used_is_the_schedules(pico_model: Path):
    stairs = Schedule("staircase", warmup_steps=2, decay_rate=0.5, decay_steps=3)
    curve = run(built(pico_model), schedule=stairs, evaluate_every=100).curve
    assert curve["learning_rate"].tolist() == pytest.approx([0, 5e-3, 1e-2, 1e-2, 1e-2, 5e-3])


def test_a_module_that_gives_nan_stops_that_very_step(pico_model: Path):
    model = built(pico_model)
    calls = [0]

    def spoil(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        calls[0] += module.training
        return output * math.nan if calls[0] >= 3 else output

    model.get_submodule("base_model.model.bert.encoder.layer.1.output").register_forward_hook(spoil)
    with pytest.raises(RunError, match=r"step 3, output of module \S*layer\.1\.output"):
        run(model, evaluate_every=100)


def test_an_infinite_gradient_stops_that_very_step(pico_model: Path):
    model = built(pico_model)
    calls = [0]

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return gradient * math.inf if calls[0] >= 2 else gradient

    def watch(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(spoil)

    # From here the infinity runs back into everything before it; this is where it began.
    first = "base_model.model.bert.encoder.layer.1.intermediate"
    model.get_submodule(first).register_forward_hook(watch)
    with pytest.raises(RunError) as caught:
        run(model, evaluate_every=100)
    assert f"step 2, gradient of parameter {first}.dense.lora_B" in str(caught.value)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_spoilt_weight_is_named(pico_model: Path):
    model = built(pico_model)
    name = "base_model.model.bert.encoder.layer.0.attention.self.value.lora_B.default.weight"
    model.get_parameter(name).data[0, 0] = math.nan
    with pytest.raises(RunError, match=re.escape(f"step 1, value of parameter {name}")):
        run(model)


def test_a_diverging_run_never_trains_on(pico_model: Path):
    with pytest.raises(RunError, match=r"step \d+"):
        run(built(pico_model), steps=200, learning_rate=1e30, max_grad_norm=0.0)


def test_the_callers_random_state_is_left_alone(pico_model: Path):
    before = torch.random.get_rng_state()
    run(built(pico_model, dropout=0.1), steps=2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_same_inputs_same_bytes_under_any_hash_seed(pico_model: Path, tmp_path: Path):
    first = digest(pico_model, tmp_path / "first")
    assert digest(pico_model, tmp_path / "second") == first
    code = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from tests.adarank.tuning.test_training import digest\n"
        "print(digest(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pico_model), str(tmp_path / "third")],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == first, done.stderr
