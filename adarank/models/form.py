"""How a pretrained model's weights are held in memory: their precision, and packed or not."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adarank.errors import input_error

Dtype = Literal["float32", "bfloat16", "stored"]
Quantization = Literal["4bit", "8bit"]


@dataclass(frozen=True)
class BaseForm:
    """In which form a frozen base is loaded.

    Attributes:
        dtype: Of its weights; `stored`: as the checkpoint has them.
        quantization: How the weights of its linear layers are packed, by bitsandbytes: `4bit` is
            QLoRA's NF4 with its constants quantised too (Dettmers et al. 2023, arXiv 2305.14314),
            `8bit` is LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339). None: not at all.
    """

    dtype: Dtype = "float32"
    quantization: Quantization | None = None

    @property
    def plain(self) -> bool:
        """Whether every weight is an ordinary one in float32."""
        return self.dtype == "float32" and self.quantization is None


FLOAT32 = BaseForm()


def loading_options(form: BaseForm) -> dict[str, Any]:
    """Return what transformers' `from_pretrained` is given for a form.

    Raises:
        InputError: It needs bitsandbytes, which is not installed.
    """
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "stored": "auto"}
    options: dict[str, Any] = {"dtype": dtypes[form.dtype]}
    if form.quantization is None:
        return options
    check_quantization(form.quantization)
    from transformers import BitsAndBytesConfig

    # In float32 the products would be the slowest part; bfloat16 is what QLoRA computes in.
    computed = torch.float32 if form.dtype == "float32" else torch.bfloat16
    packed = (
        BitsAndBytesConfig(load_in_8bit=True)
        if form.quantization == "8bit"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=computed,
        )
    )
    return options | {"quantization_config": packed}


def check_quantization(quantization: Quantization) -> None:
    """Refuse a packed base where the package that packs is missing.

    Raises:
        InputError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise input_error(
            "a quantised base needs the package bitsandbytes, which is not installed",
            where="model.quantization",
            got=quantization,
            expected="null on this machine",
            remedy="pip install bitsandbytes; or model.quantization: null, with "
            "model.dtype: bfloat16 for half of float32's memory",
        )


def in_float32(model: nn.Module, names: tuple[str, ...]) -> None:
    """Turn parts of a model that are trained whole to float32, and what they are given too.

    Args:
        model: Changed in place.
        names: Full dotted names of the parts: a head.

    Raises:
        InputError: A part is packed, so it cannot be trained.
    """
    for name in names:
        part = model.get_submodule(name)
        if not all(parameter.is_floating_point() for parameter in part.parameters()):
            raise input_error(
                "a part that is trained whole would be quantised",
                where=name,
                expected="a head that bitsandbytes leaves as it is",
                remedy="model.quantization: null",
            )
        part.float().register_forward_pre_hook(_given_in_float32)


def _given_in_float32(_part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        one.float() if isinstance(one, Tensor) and one.is_floating_point() else one for one in given
    )
