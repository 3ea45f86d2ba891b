"""What a budget pays for before ranks, and budgets that pay for none."""

from fractions import Fraction

import pandas as pd

from adarank.allocation.plan_cost import Unit
from adarank.allocation.strategies.strategy import Strategy
from adarank.errors import InputError, Problem, input_error
from adarank.models.bias_norm import BiasNorm


def refuse_settings(chosen: Strategy, permutations: int, unit: Unit) -> None:
    """Refuse settings that no scores can satisfy.

    Args:
        chosen: The strategy.
        permutations: Draws of a permuted plan.
        unit: What the budget is paid in.

    Raises:
        InputError: Every such setting at once.
    """
    problems: list[Problem] = []
    if permutations < 1:
        problems.append(Problem("no such number", "permutations", permutations, "1 or more"))
    if chosen.bias_norm and unit != "parameters":
        problems.append(
            Problem(
                "biases and norms are paid for in parameters alone",
                "allocate.unit",
                unit,
                "parameters, with a strategy of the form bias_norm_",
                "allocate.unit: parameters",
            )
        )
    if problems:
        raise InputError(*problems)


def counted_first(strategy: str, bias_norm: BiasNorm | None, spend: Fraction) -> int:
    """Count what a budget pays for before any rank.

    Args:
        strategy: Whose budget; for errors.
        bias_norm: What is trained beside the ranks; None where it is not known.
        spend: The budget's parameters.

    Raises:
        InputError: There is nothing to train, or it leaves nothing for ranks.
    """
    parameters = bias_norm.parameters if bias_norm else 0
    if not 0 < parameters < spend:
        raise input_error(
            "biases and norms leave nothing of the budget for ranks"
            if parameters
            else "no bias and no norm is known that could be trained",
            where=f"strategy {strategy}",
            got=bias_norm.in_words() if bias_norm and parameters else "none",
            expected=f"fewer than the budget's {float(spend):,.0f} parameters, and at least one",
            remedy="raise the budget, or leave `bias_norm_` out"
            if parameters
            else "leave `bias_norm_` out, or score the model again: its tables name them",
        )
    return parameters


def too_small(budget: float, rounding: str, modules: pd.DataFrame) -> InputError:
    """Make the error for a budget below one rank of any module.

    Args:
        budget: As an average rank.
        rounding: The rounding that gave no rank.
        modules: With `parameters_per_rank`.
    """
    costs = modules["parameters_per_rank"]
    least = costs.min() / costs.sum()
    return input_error(
        "no module gets a rank",
        where="budget",
        got=f"average rank {budget:g}, rounding {rounding}",
        expected=f"at least {least:.3g} with rounding spend_all: one rank of the smallest module",
        remedy="raise the budget, or use rounding: spend_all",
    )
