"""Adapters on disk: saved in PEFT's own format, reloaded, and compared with what was trained."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save

from adarank.allocation.plan import RankPlan
from adarank.errors import Problem, RunError
from adarank.tasks.base import Headed
from adarank.tuning.lora import ADAPTER, Built, full_names, head_parameters, quietly, verify


def save_adapter(model: PeftModel, folder: Path, base_name: str) -> None:
    """Write an adapter in PEFT's own format; the same weights give the same bytes.

    PEFT's own `save_pretrained` writes sets in hash order, the path of the base model on this
    machine, and a model card; these three are what differs here.

    Args:
        model: The model whose adapters and head are saved.
        folder: Gets adapter_config.json and adapter_model.safetensors.
        base_name: What to record as the base model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = copy.deepcopy(model.peft_config[ADAPTER])
    assert isinstance(config, LoraConfig)
    # PEFT may have shortened these to suffixes, which another model could match elsewhere.
    config.target_modules = sorted(full_names(model))  # pyright: ignore[reportAttributeAccessIssue]
    config.modules_to_save = sorted(head_parameters(model)) or None
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    config.save_pretrained(str(folder))
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # Not save_file, which makes a file that its owner alone can read. And one metadata key:
    # with two, their order, and so the bytes, would change from run to run.
    data = save(tensors, metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").write_bytes(data)


def load_adapter(headed: Headed, folder: Path) -> PeftModel:
    """Load a saved adapter into a fresh model, exactly as any user of PEFT would."""
    with quietly():
        return PeftModel.from_pretrained(headed.model, str(folder))


def verify_saved(
    model: PeftModel, plan: RankPlan, folder: Path, fresh: Callable[[], Headed]
) -> dict[str, Built]:
    """Reload an adapter into a fresh base model, and compare it with the plan and the original.

    Args:
        model: The model that was saved.
        plan: The ranks it was to have.
        folder: Where it was saved.
        fresh: Loads the base model with its head anew.

    Returns:
        The adapters, as read from the reloaded model.

    Raises:
        RunError: Ranks, scales or parameters differ from the plan, or a tensor from the
            trained one.
    """
    headed = fresh()
    reloaded = load_adapter(headed, folder)
    built = verify(reloaded, plan, headed.head)
    ours = get_peft_model_state_dict(model, save_embedding_layers=False)
    theirs = get_peft_model_state_dict(reloaded, save_embedding_layers=False)
    differing = [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if name not in ours
        or name not in theirs
        or not torch.equal(ours[name].cpu(), theirs[name].cpu())
    ]
    if differing:
        raise RunError(
            *(Problem("the saved tensor differs from the trained one", name) for name in differing)
        )
    return built
