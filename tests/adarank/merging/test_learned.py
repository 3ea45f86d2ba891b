"""Learned merging: the forward pass, its gradients, what is frozen, and exact resuming."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, GPT2ForSequenceClassification

from adarank.errors import InputError, RunError
from adarank.factors.svd import Update
from adarank.merging.learned.coefficients import Coefficients, straight_through
from adarank.merging.learned.components import Components, components
from adarank.merging.learned.entropy import OBJECTIVES, mean_entropy, negative_information
from adarank.merging.learned.learning import Learning, Unlabelled, batch_rows
from adarank.merging.learned.merge import Learned, merge_learned
from adarank.merging.learned.merged_model import MergedModel
from adarank.merging.learned.state import State
from adarank.merging.methods.cart import cart
from adarank.merging.methods.task_arithmetic import task_arithmetic
from adarank.merging.methods.tsv_m import tsv_m
from adarank.merging.registry import METHODS
from adarank.merging.task_vectors import Member, dense
from tests.adarank.merging.vectors import random_stack, random_updates
from tests.pico import pico_bert_config, pico_gpt2_config

QUERY = "encoder.layer.0.attention.self.query.weight"
UP = "encoder.layer.1.intermediate.dense.weight"
BIAS = "encoder.layer.1.intermediate.dense.bias"


def drawn(*shape: int, seed: int) -> Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def body_and_tasks(rows: int = 24) -> tuple[nn.Module, list[Unlabelled]]:
    """A pico BERT under two heads of 3 and 2 classes."""
    torch.manual_seed(0)
    config = pico_bert_config()
    models = []
    for labels in (3, 2):
        config.num_labels = labels
        models.append(BertForSequenceClassification(config).eval())
    models[1].bert = models[0].bert
    draw = torch.Generator().manual_seed(4)
    ids = torch.randint(5, 30, (rows, 6), generator=draw)
    examples = [{"input_ids": row} for row in ids]

    def collate(chosen: Sequence[Mapping[str, Any]]) -> Mapping[str, Tensor]:
        return {"input_ids": torch.stack([example["input_ids"] for example in chosen])}

    names = ("trees", "rivers")
    tasks = [
        Unlabelled(n, m, "bert", examples, collate) for n, m in zip(names, models, strict=True)
    ]
    return models[0].bert, tasks


def adapter_members() -> list[Member]:
    return [
        Member(
            task,
            {
                QUERY: Update(drawn(2, 32, seed=seed), drawn(32, 2, seed=seed + 1), 1.5),
                UP: Update(drawn(1, 32, seed=seed + 2), drawn(64, 1, seed=seed + 3)),
            },
        )
        for task, seed in (("trees", 0), ("rivers", 10))
    ]


def full_members() -> list[Member]:
    return [
        Member(
            task,
            {
                QUERY: drawn(32, 32, seed=seed),
                UP: drawn(64, 32, seed=seed + 1),
                BIAS: drawn(64, seed=seed + 2),
            },
        )
        for task, seed in (("trees", 0), ("rivers", 10))
    ]


QUICK = Learning(steps=12, batch=4, check_every=4, patience=0)


def one_row(tasks: list[Unlabelled]) -> list[Unlabelled]:
    """One row many times: what is lowered on some rows is lowered on those held back."""
    return [replace(task, examples=[task.examples[0]] * 10) for task in tasks]


def run(
    members: list[Member], values: Mapping[str, Any], name: str = "adarank", **more: Any
) -> Learned:
    body, tasks = body_and_tasks()
    tasks = tasks if more else one_row(tasks)
    values = {"rate": 0.05, **values}
    return merge_learned(body, members, METHODS[name], values, tasks, QUICK, **more)


@pytest.mark.parametrize("vectors", [random_updates(), list(random_stack(3, 12, 10))])
def test_with_the_first_masks_each_origin_is_its_own_method(vectors: list[Any]) -> None:
    stack = torch.stack([dense(vector) for vector in vectors])
    for origin, ratio, prior, wanted in (
        ("task_arithmetic", 1.0, 0.3, task_arithmetic(stack)),
        ("cart", 0.2, 1.6, cart(stack, scaling=1.6, ratio=0.2)),
        ("tsv_m", 1.0, 1.0, tsv_m(stack)),
    ):
        part = components(vectors, origin, ratio)  # pyright: ignore[reportArgumentType]
        coefficients = Coefficients({"w": part}, 3)
        by_weight = coefficients.by_weight(*coefficients.start(prior))
        assert isinstance(part, Components)
        found = dense(part.merged(by_weight["w"])).double()
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_mask_is_hard_forward_and_a_sigmoid_backward() -> None:
    logits = torch.tensor([0.1, -0.1, 2.0], requires_grad=True)
    mask = straight_through(logits)
    assert mask.tolist() == [1.0, 0.0, 1.0]
    mask.sum().backward()
    p = torch.sigmoid(logits.detach() / 10)
    torch.testing.assert_close(logits.grad, p * (1 - p) / 10)


def test_entropy_is_that_of_the_predictions() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    wanted = -(p * p.log()).sum(1).mean()
    torch.testing.assert_close(mean_entropy(p.log()), wanted)
    with pytest.raises(InputError, match="at least two classes"):
        mean_entropy(torch.zeros(4, 1))


@pytest.mark.parametrize("members", [adapter_members(), full_members()], ids=["adapters", "full"])
@pytest.mark.parametrize("origin", ["task_arithmetic", "cart", "tsv_m"])
def test_the_forward_pass_is_that_of_the_merged_weights(members: list[Member], origin: str) -> None:
    body, tasks = body_and_tasks()
    names = sorted({name for m in members for name in m.vectors})
    parts = {
        n: components([m.vectors[n] for m in members], origin, 0.5)  # pyright: ignore[reportArgumentType]
        for n in names
    }
    coefficients = Coefficients(parts, 2)
    by_weight = coefficients.by_weight(*coefficients.start(0.7))
    merged = MergedModel(body, parts)
    batch = tasks[1].collate(tasks[1].examples)
    with merged.with_coefficients(by_weight), torch.no_grad():
        found = merged.logits(tasks[1].model, "bert", batch)
    weights = dict(body.named_parameters())
    with torch.no_grad():
        for name, part in parts.items():
            weights[name] += dense(part.merged(by_weight[name])).float()
        wanted = tasks[1].model(**batch).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not body.get_submodule(QUERY.removesuffix(".weight"))._forward_hooks


def test_gpt2s_transposed_layers_are_added_to_the_right_way_round() -> None:
    torch.manual_seed(0)
    config = pico_gpt2_config()
    config.num_labels = 2
    model = GPT2ForSequenceClassification(config).eval()
    name = "h.0.attn.c_attn.weight"  # stored (d_in, d_out)
    update = Update(drawn(2, 96, seed=0), drawn(32, 2, seed=1))
    part = components([update, update], "task_arithmetic", 1.0)
    merged = MergedModel(model.transformer, {name: part})
    batch = {"input_ids": torch.arange(5, 11)[None]}
    with merged.with_coefficients({name: torch.full((4,), 0.5)}), torch.no_grad():
        found = merged.logits(model, "transformer", batch)
        model.transformer.get_parameter(name).add_(update.dense().float())
    torch.testing.assert_close(found, model(**batch).logits, rtol=1e-4, atol=1e-5)


def test_learning_lowers_the_entropy_and_leaves_the_base_alone() -> None:
    body, tasks = body_and_tasks()
    tasks = one_row(tasks)
    before = {name: p.detach().clone() for name, p in body.named_parameters()}
    learned = merge_learned(
        body, full_members(), METHODS["adamerging"], {"rate": 0.05}, tasks, QUICK
    )
    first = learned.state.history[0][1]
    assert learned.state.best < first
    assert all(torch.equal(before[name], p) for name, p in body.named_parameters())
    assert all(p.grad is None for task in tasks for p in task.model.parameters())


def test_learning_leaves_every_part_in_its_own_mode() -> None:
    body, tasks = body_and_tasks()
    tasks[0].model.train()
    body.get_submodule("encoder.layer.1").eval()
    models = [body, *(task.model for task in tasks)]
    before = [part.training for model in models for part in model.modules()]
    found = merge_learned(
        body, adapter_members(), METHODS["adarank"], {}, tasks, Learning(steps=2, batch=4)
    )
    assert [part.training for model in models for part in model.modules()] == before
    body.eval()
    # Learned without dropout, whatever the modes were.
    for task in tasks:
        task.model.eval()
    again = merge_learned(
        body, adapter_members(), METHODS["adarank"], {}, tasks, Learning(steps=2, batch=4)
    )
    assert found.state.history == again.state.history


def test_masks_only_and_lambdas_only_leave_the_other_as_it_was() -> None:
    masks = run(adapter_members(), {"learn": "masks_only", "ratio": 0.04})
    assert all(bool((row == 0.3).all()) for row in masks.lambdas.values())
    lambdas = run(adapter_members(), {"learn": "lambdas_only"})
    assert all(bool(mask.all()) for mask in lambdas.masks.values())
    assert any(bool((row != 0.3).any()) for row in lambdas.lambdas.values())


def test_adamerging_is_the_same_on_factors_and_on_dense_members() -> None:
    adapters = adapter_members()
    multiplied = [
        Member(m.task, {n: dense(v).float() for n, v in m.vectors.items()}) for m in adapters
    ]
    one, other = (run(members, {}, "adamerging") for members in (adapters, multiplied))
    for name, row in one.lambdas.items():
        torch.testing.assert_close(row, other.lambdas[name], rtol=1e-3, atol=1e-4)


def test_the_rank_table_counts_the_masks() -> None:
    learned = run(full_members(), {"origin": "cart", "ratio": 0.25})
    assert {row.weight for row in learned.ranks} == {QUERY, UP}
    for row in learned.ranks:
        index = ("trees", "rivers").index(row.task)
        own = learned.masks[row.weight].reshape(2, -1)[index]
        assert (row.components, row.kept) == (len(own), int(own.sum()))
        top = set(range(row.kept)) & set(own.nonzero().flatten().tolist())
        assert row.leading == (len(top) / row.kept if row.kept else None)


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_run_resumed_from_its_bytes_ends_as_one_that_was_never_stopped(stop: int) -> None:
    whole = run(full_members(), {"origin": "cart"}, on_step=None).state
    saved: list[bytes] = []

    class KilledError(Exception):
        pass

    def keep(state: State) -> None:
        saved.append(state.to_bytes())
        if state.step == stop:
            raise KilledError

    with pytest.raises(KilledError):
        run(full_members(), {"origin": "cart"}, on_step=keep)
    state = State.from_bytes(saved[-1])
    assert state.to_bytes() == saved[-1]
    resumed = run(full_members(), {"origin": "cart"}, state=state).state
    assert resumed.to_bytes() == whole.to_bytes()


def test_the_objective_that_stops_improving_ends_the_run() -> None:
    body, tasks = body_and_tasks()
    settings = Learning(steps=60, batch=2, check_every=2, patience=2)
    values = {"rate": 5.0}  # far too fast: the first steps are the best
    learned = merge_learned(body, adapter_members(), METHODS["adamerging"], values, tasks, settings)
    assert learned.state.step < 60
    assert learned.state.step - learned.state.best_step == 4


def test_every_row_is_seen_once_before_any_is_seen_twice() -> None:
    rows = torch.arange(10, 17)
    seen = [row for step in range(7) for row in batch_rows(rows, step, Learning(batch=3))]
    assert sorted(seen[:7]) == sorted(seen[7:14]) == rows.tolist()
    assert seen[:7] != seen[7:14]


def test_texts_of_too_few_rows_are_refused() -> None:
    body, tasks = body_and_tasks(rows=1)
    with pytest.raises(InputError, match="texts of trees: too few"):
        merge_learned(body, adapter_members(), METHODS["adarank"], {}, tasks, QUICK)


def test_an_objective_that_is_not_finite_names_step_and_task() -> None:
    body, tasks = body_and_tasks()
    with torch.no_grad():
        tasks[1].model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(RunError, match="rivers, step 0"):
        merge_learned(body, adapter_members(), METHODS["adarank"], {}, tasks, QUICK)


def test_information_keeps_both_classes_where_entropy_gives_one_up() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    ends: dict[str, Tensor] = {}
    for name, objective in OBJECTIVES.items():
        bias = torch.tensor([0.6, 0.0], requires_grad=True)
        optimiser = torch.optim.SGD([bias], lr=1.0)
        for _ in range(400):
            optimiser.zero_grad()
            objective(rows + bias).backward()
            optimiser.step()
        ends[name] = (rows + bias).argmax(1)
    assert ends["entropy"].tolist() == [0, 0]
    assert ends["information"].tolist() == [0, 1]


def test_information_is_the_mutual_information_of_row_and_class() -> None:
    p = torch.softmax(torch.randn(7, 4, generator=torch.Generator().manual_seed(0)), 1).double()
    joint = p / len(p)
    apart = joint.sum(0, keepdim=True) * joint.sum(1, keepdim=True)
    information = (joint * (joint / apart).log()).sum()
    assert float(negative_information(p.log())) == pytest.approx(-float(information), rel=1e-5)
