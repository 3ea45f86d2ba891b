"""A pretrained model's own dropout: switched off, and found."""

from collections.abc import Iterator

from torch import nn


def without_dropout(model: nn.Module) -> None:
    """Set every probability of dropout in a model to 0, before adapters bring their own."""
    for part, name, _ in _probabilities(model):
        setattr(part, name, 0.0)


def has_dropout(model: nn.Module) -> bool:
    """Whether a model, or an adapter in it, drops anything while it is trained."""
    return any(value for _, _, value in _probabilities(model))


def _probabilities(model: nn.Module) -> Iterator[tuple[nn.Module, str, float]]:
    """Find every probability of dropout: its owner, its name and its value.

    Modules of dropout have it as `p` or `drop_prob`; attention layers that hand it to a kernel
    hold it as a number with `dropout` in its name.
    """
    for part in model.modules():
        named_so = "dropout" in type(part).__name__.lower()
        for name, value in list(vars(part).items()):
            of_dropout = name in {"p", "drop_prob"} if named_so else "dropout" in name
            if of_dropout and isinstance(value, float):
                yield part, name, value
