"""One body under several heads: shared but for what a head has inside the base, and restored."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adarank.errors import InputError
from adarank.pipeline.artifacts.model import load_tokenizer
from adarank.pipeline.merging.shared_body import SharedBody
from adarank.tasks.base import Task
from adarank.tasks.registry import make_task

QUERY = "encoder.layer.0.attention.self.query.weight"


def tasks(model: Path) -> list[Task]:
    tokenizer = load_tokenizer(model)
    return [
        make_task({"type": "classification", "labels": list("abc")[:n]}, tokenizer, 32)
        for n in (3, 2)
    ]


def heads(model: Path) -> list[dict[str, Tensor]]:
    found: list[dict[str, Tensor]] = []
    for seed, task in enumerate(tasks(model)):
        headed = task.build(model, 10 + seed)
        names = tuple(f"{part}." for part in headed.head)
        state = headed.model.state_dict()
        found.append({n: t + seed for n, t in state.items() if n.startswith(names)})
    return found


def without_pooler(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 11)[None]).logits


@pytest.mark.parametrize("pooler", [True, False])
def test_every_model_predicts_as_its_own_would(
    pico_model: Path, tmp_path: Path, pooler: bool
) -> None:
    folder = pico_model if pooler else without_pooler(pico_model, tmp_path / "model")
    own = heads(folder)
    assert any("pooler" in name for name in own[0]) is not pooler
    shared = SharedBody(folder, tasks(folder), own)
    for task, head, model in zip(tasks(folder), own, shared.models, strict=True):
        alone = task.build(folder, 0).model.eval()
        alone.load_state_dict(head, strict=False)
        torch.testing.assert_close(logits(model), logits(alone), rtol=0, atol=0)
    layers = [model.get_submodule("bert.encoder.layer.0") for model in shared.models]
    assert layers[0] is layers[1] is shared.body.get_submodule("encoder.layer.0")


def test_a_merge_changes_all_models_and_is_taken_off_to_the_bit(pico_model: Path) -> None:
    shared = SharedBody(pico_model, tasks(pico_model), heads(pico_model))
    before = [logits(model) for model in shared.models]
    weights = {n: p.clone() for n, p in shared.body.named_parameters()}
    with shared.merged({QUERY: torch.full((32, 32), 0.3)}):
        assert all(
            not torch.equal(logits(m), b) for m, b in zip(shared.models, before, strict=True)
        )
    for name, parameter in shared.body.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_a_head_of_another_task_is_refused(pico_model: Path) -> None:
    own = heads(pico_model)
    with pytest.raises(InputError, match="not that of its task"):
        SharedBody(pico_model, tasks(pico_model), own[::-1])
    with pytest.raises(InputError, match="no head"):
        SharedBody(pico_model, tasks(pico_model), [own[0], {}])
