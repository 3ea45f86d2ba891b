"""Whether transformers knows a model's type, or needs code that lies beside its weights."""

import difflib
from pathlib import Path
from typing import Any

from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

from adarank.errors import InputError, input_error
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import read_json


def check_model_type(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Check that transformers knows the config's model type, without running any model.

    Args:
        folder: The model folder.
        trust_remote_code: Whether code beside the weights may make its type known.

    Raises:
        InputError: config.json damaged, its model_type absent or unknown, or an attention that
            is code of a repository.
    """
    config = read_json(folder / "config.json")
    _refuse_kernels(config, "config.json")
    found: Any = config.get("model_type") if isinstance(config, dict) else None
    code = code_references(folder)
    if isinstance(found, str) and (
        found in CONFIG_MAPPING_NAMES or (trust_remote_code and "AutoConfig" in code)
    ):
        if code and not trust_remote_code:
            say("model: the code beside the weights is not run (model.trust_remote_code: false)")
        return
    if code and not trust_remote_code:
        raise _needs_code(found, code)
    near = difflib.get_close_matches(str(found), CONFIG_MAPPING_NAMES, n=3)
    raise input_error(
        "unknown model type" if found else "the config names no model type",
        where="config.json: model_type",
        got="none" if found is None else found,
        expected=f"one that transformers knows: {', '.join(near) or 'bert, llama, t5 ...'}",
        remedy="a checkpoint whose code is in transformers; any other code is never run",
    )


def _refuse_kernels(value: Any, where: str) -> None:
    """Refuse an attention that is code of a repository: transformers would fetch and run it."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key.endswith("attn_implementation") and "/" in f"{inner}":
            raise input_error(
                "the config names code of a repository, which is never fetched",
                where=f"{where}: {key}",
                got=inner,
                expected="eager, sdpa or another implementation in transformers",
                remedy="remove this key from config.json, or choose another source",
            )
        _refuse_kernels(inner, f"{where}: {key}")


def code_references(folder: Path) -> dict[str, str]:
    """List the classes that a model folder wants run from beside its weights.

    Returns:
        `FILE.CLASS`, or `REPOSITORY--FILE.CLASS`, by the auto class that it is for.
    """
    references: dict[str, str] = {}
    for name in ("tokenizer_config.json", "config.json"):
        path = folder / name
        content = read_json(path) if path.exists() else None
        found: Any = content.get("auto_map") if isinstance(content, dict) else None
        if isinstance(found, list):  # a tokenizer's older form, slow and fast
            found = {"AutoTokenizer": found}
        for key, value in found.items() if isinstance(found, dict) else ():
            classes = [value] if isinstance(value, str) else value
            named = [one for one in classes or [] if isinstance(one, str)]
            references |= {key: named[-1]} if named else {}
    return references


def _needs_code(model_type: Any, code: dict[str, str]) -> InputError:
    return input_error(
        "the model needs the code that lies beside its weights, which is not run",
        where="config.json: model_type",
        got=f"{model_type}, by {', '.join(sorted(set(code.values())))}",
        expected="a model type that transformers knows",
        remedy="read that code; if you trust it with this account, model.trust_remote_code: true",
    )
