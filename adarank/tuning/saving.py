"""Adapters on disk: saved in PEFT's own format, reloaded, and compared with what was trained."""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from adarank.allocation.plan import RankPlan
from adarank.errors import InputError, Problem, RunError, input_error
from adarank.models.tensors import COPIES, write_tensors
from adarank.tasks.base import Headed
from adarank.tuning.lora import ADAPTER, full_names, head_parameters, quietly
from adarank.tuning.tuners.base import Found, Tuner

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def adapter_state(model: PeftModel) -> dict[str, Tensor]:
    """Collect the tensors of a model's adapters and head, as PEFT names them in a file."""
    with quietly():
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
        if not any(part in name for part in COPIES)
    }


def save_adapter(model: PeftModel, folder: Path, **changed: Any) -> None:
    """Write an adapter in PEFT's own format; the same weights give the same bytes.

    PEFT's own `save_pretrained` writes sets in hash order, the path of the base model on this
    machine, and a model card; these three are what differs here. `name_base` names the base.

    Args:
        model: The model whose adapters and head are saved.
        folder: Gets adapter_config.json and adapter_model.safetensors.
        changed: Entries of the configuration to be written otherwise than in the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # First, for PEFT shortens names in AdaLoRA's configuration meanwhile.
    state = adapter_state(model)
    config = copy.deepcopy(model.peft_config[ADAPTER])
    assert isinstance(config, LoraConfig)
    # PEFT may have shortened these to suffixes, which another model could match elsewhere.
    config.target_modules = sorted(full_names(model))  # pyright: ignore[reportAttributeAccessIssue]
    config.modules_to_save = sorted(head_parameters(model)) or None
    config.base_model_name_or_path = None
    config.inference_mode = True
    for name, value in changed.items():
        setattr(config, name, value)
    config.save_pretrained(str(folder))
    write_tensors(folder / WEIGHTS, state)


def name_base(folder: Path, name: str | None, revision: str | None) -> None:
    """Record in a saved adapter which base model it is of.

    PEFT's `AutoPeftModel` loads the base by that name. It must not be a relative path: from any
    other folder, the hub would be asked for a repository of that name, which anybody may own.

    Args:
        folder: What `save_adapter` wrote; without an adapter nothing happens.
        name: A repository of the hub, or a name that no hub takes for one; None for no name.
        revision: The repository's commit; None for none.
    """
    path = folder / CONFIG
    if path.exists():
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {"base_model_name_or_path": name, "revision": revision}
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def load_adapter(headed: Headed, folder: Path) -> PeftModel:
    """Load a saved adapter into a fresh model, exactly as any user of PEFT would.

    Raises:
        InputError: A file that is absent, damaged or of another model, by its name.
    """
    config, weights = folder / CONFIG, folder / WEIGHTS
    tensors = read_tensors(weights)
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(config, error) from None
    try:
        with quietly():
            model = PeftModel.from_pretrained(headed.model, str(folder))
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(weights, error) from None
    check_loaded(weights, tensors, adapter_state(model))
    return model


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; InputError if it is absent or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None


def check_loaded(path: Path, stored: Mapping[str, Tensor], loaded: Mapping[str, Tensor]) -> None:
    """Compare a model's tensors with those of the file that it was loaded from.

    Raises:
        InputError: A tensor of the file that the model does not hold, or the other way round.
    """
    differing = differences(stored, loaded)
    if differing:
        raise input_error(
            "the file and the model loaded from it do not hold the same tensors",
            where=str(path),
            got=", ".join(differing),
            expected="the same finite numbers under the same names",
            remedy="delete the folder and train again: `dvc repro`",
        )


def damaged(path: Path, error: Exception) -> InputError:
    """Make the error for a saved file that cannot be loaded."""
    return input_error(
        "damaged, or saved from another model",
        where=str(path),
        got=" ".join(str(error).split()),
        expected="what fine-tuning wrote for this model",
        remedy="delete the folder and train again: `dvc repro`",
    )


def verify_saved(
    tuner: Tuner, model: nn.Module, plan: RankPlan, folder: Path, fresh: Callable[[], Headed]
) -> Found:
    """Reload what was saved into a fresh base model; compare it with the plan and the original.

    Args:
        tuner: What saved it.
        model: The model that was saved.
        plan: What it was to be.
        folder: Where it was saved.
        fresh: Loads the base model with a new head.

    Returns:
        What the reloaded model holds.

    Raises:
        RunError: The plan's own differences, or a tensor that differs from the trained one.
    """
    headed = fresh()
    reloaded = tuner.load(headed, folder)
    found = tuner.verify(reloaded, plan, headed.head)
    differing = differences(tuner.state(model), tuner.state(reloaded))
    if differing:
        what = "the saved tensor differs from the trained one"
        raise RunError(*(Problem(what, name) for name in differing))
    return found


def differences(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """List the names of tensors that are not bit for bit the same in both, or in one alone."""
    return [
        name
        for name in sorted(first.keys() | second.keys())
        if name not in first or name not in second or not torch.equal(first[name], second[name])
    ]
