"""Whether a model is one whose weights can be read and disturbed as they stand."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from adarank.errors import InputError, Problem, input_error

_UNQUANTISED = (
    "load the model without quantization to score it; the plan fits the quantised model too, "
    "whose modules have the same names"
)


def check_plain(model: nn.Module) -> None:
    """Refuse a model that is compiled, wrapped, quantised, offloaded or sharded.

    Noise is added to a module's weight and PEFT replaces the module by its name, so the weight
    must be an ordinary floating-point tensor in memory, and the name the transformers model's own.

    Raises:
        InputError: Names what is in the way, and what to give instead.
    """
    if isinstance(model, nn.Module):
        _refuse_wrapper(model)
    config: Any = getattr(model, "config", None) if isinstance(model, nn.Module) else None
    if not hasattr(config, "model_type"):
        raise input_error(
            "not a transformers model",
            where="model",
            got=type(model).__name__,
            expected="a model with a config, such as AutoModel.from_pretrained gives",
        )
    for what, remedy, names in (
        ("the weights are not in memory (offloaded, or on the meta device)", _LOADED, _absent),
        ("the weights are sharded over processes", _WHOLE, _sharded),
        ("the weights are quantised, so noise cannot be added to them", _UNQUANTISED, _packed),
    ):
        found = list(names(model))
        if found:
            got = f"{len(found)} tensors, first {found[0]}"
            expected = "floating-point weights of (d_out, d_in), whole, on one device"
            raise InputError(Problem(what, type(model).__name__, got, expected, remedy))


_LOADED = "load the model without device_map, or with enough memory for all of it"
_WHOLE = "score the model before it is sharded"


def _refuse_wrapper(model: nn.Module) -> None:
    # By attribute: the classes live in optional parts of torch.
    inner = next((n for n in ("_orig_mod", "module") if _is_wrapper_attribute(model, n)), None)
    compiled: Any = getattr(model, "_compiled_call_impl", None)
    if inner is None and compiled is None:
        return
    raise input_error(
        "the model is compiled or wrapped, so its modules have other names than PEFT's",
        where="model",
        got=f"{type(model).__name__}{'' if inner else ' after .compile()'}",
        expected="the transformers model itself",
        remedy=f"give the model inside, model.{inner}"
        if inner
        else "score the model, adapt it, and compile it then",
    )


def _is_wrapper_attribute(model: nn.Module, name: str) -> bool:
    children = dict(model.named_children())
    return list(children) == [name] and type(model).__module__.startswith("torch")


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _absent(model: nn.Module) -> Iterator[str]:
    return (name for name, tensor in model.named_parameters() if tensor.is_meta)


def _sharded(model: nn.Module) -> Iterator[str]:
    return (n for n, tensor in _tensors(model) if type(tensor.data).__name__ == "DTensor")


def _packed(model: nn.Module) -> Iterator[str]:
    """Name weights in any packed form: whole numbers, 8-bit floats, a library's own tensors."""
    for name, tensor in _tensors(model):
        whole = not (tensor.is_floating_point() or tensor.is_complex())
        small = tensor.is_floating_point() and tensor.element_size() < 2
        foreign = type(tensor.data) is not Tensor
        is_weight = tensor.dim() >= 1 and "weight" in name.rpartition(".")[2]
        if foreign or (is_weight and (whole or small)):
            yield name
    for name, part in model.named_modules():
        if hasattr(part, "_packed_params"):  # torch's own quantised layers hold no tensor
            yield name
