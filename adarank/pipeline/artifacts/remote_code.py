"""Code beside a model's weights: never run, unless model.trust_remote_code says so by name."""

import re
from pathlib import Path
from typing import Any

import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from adarank.errors import InputError, input_error, within
from adarank.pipeline.artifacts.model_type import check_model_type, code_references
from adarank.pipeline.console.reporting import say
from adarank.pipeline.files.whole import read_json

_REFERENCE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")


def register_code(folder: Path, *, trusted: bool) -> None:
    """Register the classes beside the weights with transformers, where they are trusted.

    Every class is registered under its auto class here, once and loudly; all that loads models
    and tokenizers says `trust_remote_code=False`, and so cannot run any other code.

    Args:
        folder: The model folder.
        trusted: model.trust_remote_code.

    Raises:
        InputError: The model cannot be loaded without its code and that is not trusted; or the
            code lies in another repository, or does not work.
    """
    if not (folder / "config.json").exists():
        return  # whoever loads the model says so
    with within(str(folder)):
        check_model_type(folder, trust_remote_code=trusted)
        references = code_references(folder)
    if not trusted or not references:
        return
    say(
        "model: WARNING: model.trust_remote_code is true: running the code beside the weights, "
        f"{', '.join(sorted(set(references.values())))}, with all rights of this account"
    )
    classes = {name: _class(folder, name, reference) for name, reference in references.items()}
    _register(folder, classes)


def _class(folder: Path, name: str, reference: str) -> Any:
    file = f"{reference.partition('.')[0]}.py"
    if not _REFERENCE.fullmatch(reference) or not (folder / file).is_file():
        raise input_error(
            "code that does not lie beside the weights",
            where=f"auto_map.{name}",
            got=reference,
            expected="FILE.CLASS, with FILE.py in the model's own folder",
            remedy="code of another repository is never fetched: copy it beside the weights",
        )
    try:
        return get_class_from_dynamic_module(reference, str(folder), local_files_only=True)
    except Exception as error:
        raise _broken(name, reference, error) from None


def _register(folder: Path, classes: dict[str, Any]) -> None:
    config_class: Any = classes.pop("AutoConfig", None)
    if config_class is not None:
        transformers.AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    else:
        kind = read_json(folder / "config.json")["model_type"]
        config_class = type(transformers.AutoConfig.for_model(kind))
    for name, found in classes.items():
        auto_class: Any = getattr(transformers, name, None)
        if auto_class is None:
            continue
        try:
            if name == "AutoTokenizer":
                auto_class.register(config_class, tokenizer_class=found, exist_ok=True)
            else:
                auto_class.register(config_class, found, exist_ok=True)
        except ValueError as error:
            raise _broken(name, found.__name__, error) from None


def _broken(name: str, reference: str, error: Exception) -> InputError:
    return input_error(
        "the code beside the weights does not work",
        where=f"auto_map.{name}",
        got=f"{reference}: {type(error).__name__}: {error}",
        expected="Python that this version of transformers can import and register",
        remedy="look at the code, and at what its repository says of the packages it needs",
    )
