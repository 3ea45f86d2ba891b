"""Switching off a pretrained model's own dropout."""

from torch import nn


def without_dropout(model: nn.Module) -> None:
    """Set every probability of dropout in a model to 0, before adapters bring their own.

    Modules of dropout have it as `p` or `drop_prob`; attention layers that hand it to a kernel
    hold it as a number with `dropout` in its name.
    """
    for part in model.modules():
        named_so = "dropout" in type(part).__name__.lower()
        for name, value in vars(part).items():
            of_dropout = name in {"p", "drop_prob"} if named_so else "dropout" in name
            if of_dropout and isinstance(value, float):
                setattr(part, name, 0.0)
