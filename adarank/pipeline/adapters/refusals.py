"""Adapters that are no plain LoRA, each refused by its name and with a way out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adarank.errors import InputError, Problem, input_error

_EXPECTED = "adapter_config.json of a plain LoRA, and adapter_model.safetensors"

_VARIANTS = {
    "use_dora": "DoRA also rescales every row of the adapted weight, so it is no s B A",
    "use_qalora": "QA-LoRA pools the inputs before A, so its factors are not of the weight's shape",
    "use_bdlora": "BD-LoRA's factors are block-diagonal",
    "arrow_config": "Arrow routes between several adapters",
    "kasa_config": "KaSA has singular values of its own beside the factors",
    "monteclora_config": "MonteCLoRA draws its factors",
    "lora_bias": "a bias beside B is not part of s B A",
    "target_parameters": "factors of raw parameters (fused experts) hold several matrices in one",
    "megatron_config": "Megatron's layers are split over machines",
    "layer_replication": "replicated layers do not bear the names of the base model",
}
"""Entries of LoraConfig that, where set, make an adapter something else than s B A."""

_MOVED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Starts that take the adapter's own rank out of the base weights when it is loaded."""


def refuse_variants(config: Mapping[str, Any], path: Path) -> None:
    """Refuse any PEFT method but plain LoRA.

    Raises:
        InputError: Names every variant that is set.
    """
    kind = config.get("peft_type")
    if kind != "LORA":
        raise input_error(
            "an adapter of another type",
            where=str(path),
            got=kind if isinstance(kind, str) else "no peft_type",
            expected="LORA",
            remedy="PEFT's convert_to_lora turns several other types into LoRA",
        )
    problems = [
        Problem(
            why,
            f"{path}: {key}",
            config[key],
            "a plain LoRA",
            "merge it into the model, or train a plain LoRA",
        )
        for key, why in _VARIANTS.items()
        if config.get(key)
    ]
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_MOVED_BASES):
        problems.append(
            Problem(
                "this start changes the base weights by an amount that depends on the rank, so the "
                "adapter fits the base at its own rank alone",
                f"{path}: init_lora_weights",
                start,
                "an adapter of the untouched base",
                "save it with PEFT's path_initial_model_for_weight_conversion",
            )
        )
    if problems:
        raise InputError(*problems)


def no_adapter(folder: Path, config: Path, weights: Path) -> InputError:
    """Make the error for a folder that holds no adapter, by what it holds instead."""
    if not folder.is_dir():
        got, remedy = "no such folder", "name the folder that PEFT's save_pretrained wrote"
    elif not config.is_file() and (folder / "config.json").is_file():
        got, remedy = "a whole model (config.json)", "name the adapter's folder, not its base's"
    elif not config.is_file():
        got, remedy = f"no {config.name}", "name the folder that PEFT's save_pretrained wrote"
    elif (folder / "adapter_model.bin").is_file():
        got = "adapter_model.bin, a pickle, which could run any code"
        remedy = "load it with PEFT, if you trust it, and save it again: safetensors is the default"
    else:
        got, remedy = f"no {weights.name}", "copy it there; it lies beside the configuration"
    return input_error(
        "no adapter here", where=str(folder), got=got, expected=_EXPECTED, remedy=remedy
    )
