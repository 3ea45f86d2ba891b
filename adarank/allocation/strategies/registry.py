"""Strategies: how a weight per module is made, and what else a plan of that name is.

Ranks follow from the weights by `adarank.allocation.rounding.apportion`. To add a strategy, write
a function from a Question to weights and enter it in STRATEGIES; its controls (`reversed_`,
`permuted_`) and its literal form come by themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from adarank.allocation.growth import AS_PUBLISHED, SQUEEZED, Growth
from adarank.allocation.starts import (
    ABOUT,
    bias_norm_named,
    rate_ratio_named,
    split_training,
    start_named,
)
from adarank.allocation.strategies.controls import DEFAULT
from adarank.allocation.strategies.forms import (
    bias_norm_of,
    permuted_of,
    priced_of,
    rate_ratio_of,
    reversed_of,
    start_of,
)
from adarank.allocation.strategies.greedy import greedy
from adarank.allocation.strategies.heuristics import attention_heavy, empirical, linear_decay
from adarank.allocation.strategies.names import check_prefixes
from adarank.allocation.strategies.places import blocks_named, last_blocks, mlp_only
from adarank.allocation.strategies.question import Question
from adarank.allocation.strategies.strategy import Strategy, Weigh, Weights
from adarank.errors import input_error


def uniform(question: Question) -> Weights:
    """Weigh every module alike."""
    return np.ones(len(question.modules))


def by_signal(name: str) -> Weigh:
    """Return the strategy whose weights are a signal's scores."""
    return lambda question: question.signal(name).score


def literal_of(strategy: Strategy) -> Strategy:
    """Make the form that takes the weights, rounded down, as ranks, whatever the budget.

    Raises:
        InputError: The strategy's weights are no ranks.
    """
    if not strategy.states_ranks:
        stating = [name for name, known in STRATEGIES.items() if known.states_ranks]
        raise input_error(
            "this strategy states no ranks that could be taken literally",
            where="strategy literal_...",
            got=strategy.about,
            expected=f"one of {', '.join(stating)}, or a custom or explicit one",
            remedy="leave `literal_` out",
        )
    return replace(strategy, literal=True)


DONG = "Dong 2024, arXiv 2408.09015"
PLACEMENT = "adaptive-lora-placement"

STRATEGIES: dict[str, Strategy] = {
    "uniform": Strategy(uniform, "the same rank everywhere", source="Hu et al. 2021, 2106.09685"),
    "disagreement": Strategy(
        by_signal("disagreement"),
        "how much disturbing the module moves the output",
        ("disagreement",),
        source=DONG,
    ),
    "task_disagreement": Strategy(
        by_signal("task_disagreement"),
        "the same as disagreement, on texts of the task's own train rows",
        ("task_disagreement",),
        source=DONG,
    ),
    "linearized": Strategy(
        by_signal("linearized"),
        "the same to first order, all modules in one backward",
        ("linearized",),
        source="this project; docs/linearized.md",
    ),
    "as_published": Strategy(
        by_signal("as_published"),
        "the same as the released notebook computes it, its noise piling up",
        ("as_published",),
        source=DONG,
    ),
    "weight_gradient": Strategy(
        by_signal("weight_gradient"),
        "mean |W * G|, G the mean task gradient",
        ("weight_gradient",),
        source="GoRA, He et al. 2025, arXiv 2502.12171",
    ),
    "fisher": Strategy(
        by_signal("fisher"),
        "mean squared task gradient of single rows",
        ("fisher",),
        source="empirical Fisher information",
    ),
    "gradient_spectrum": Strategy(
        greedy("gradient_spectrum", per_parameter=True),
        "rank by rank, to the next squared singular value of G that is largest per parameter",
        ("gradient_spectrum",),
        source="this project",
    ),
    "activation_variance": Strategy(
        greedy("activation_variance", per_parameter=False),
        "rank by rank, to the direction that explains most of its layer's input",
        ("activation_variance",),
        source="EVA, Paischer et al. 2024, arXiv 2410.07170",
    ),
    "measured": Strategy(
        greedy("measured", per_parameter=True),
        "rank by rank, by a surface fitted to short runs of random plans, which are part of its "
        "cost",
        ("measured",),
        source="this project; docs/landscape.md",
    ),
    "stable_rank": Strategy(
        by_signal("stable_rank"),
        "squared Frobenius norm over squared spectral norm of W",
        ("stable_rank",),
        source="Rudelson and Vershynin 2007",
    ),
    "sortnet": Strategy(
        by_signal("learned_order"),
        "its place in an order that was learned from five models; needs the weights alone",
        ("learned_order",),
        source="Rigutini et al. 2011, arXiv 2311.01864; docs/ordering.md",
    ),
    "linear_decay": Strategy(
        linear_decay, "16 at the first block to 4 at the last", states_ranks=True, source=PLACEMENT
    ),
    "attention_heavy": Strategy(
        attention_heavy, "attention 16, feed-forward 8", states_ranks=True, source=PLACEMENT
    ),
    "empirical": Strategy(
        empirical,
        "9.6, 19.2 and 16 in the first, middle and last blocks",
        states_ranks=True,
        source=PLACEMENT,
    ),
    "mlp_only": Strategy(
        mlp_only,
        "the same rank in all feed-forward modules, no adapters elsewhere",
        selects=True,
        source="this project",
    ),
    "adalora": Strategy(
        uniform,
        "uniform at first; PEFT's AdaLoRA then prunes it to the budget's ranks as it trains",
        tuner="adalora",
        source="Zhang et al. 2023, arXiv 2303.10512",
    ),
    "eva": Strategy(
        uniform,
        "uniform's sum of ranks, redistributed and initialised by PEFT's EVA",
        tuner="eva",
        source="Paischer et al. 2024, arXiv 2410.07170",
    ),
    "growing": Strategy(
        uniform,
        "uniform at first; ranks grow while the loss stalls, then are pruned to the budget",
        tuner="growing",
        growth=Growth(),
        source="this project; docs/growing.md",
    ),
    "as_published_growing": Strategy(
        uniform,
        "the same by merging and restarting, as the released notebook does; pruned at the end",
        tuner="growing",
        growth=AS_PUBLISHED,
        source="ADP_codes",
    ),
    "squeezed": Strategy(
        uniform,
        "trained at four times the budget, truncated to it after 60 % of the steps, trained on",
        tuner="growing",
        growth=SQUEEZED,
        source="LoRA-Squeeze, arXiv 2602.10993",
    ),
    "rslora": Strategy(
        uniform,
        "uniform ranks, scaled by alpha / sqrt(rank)",
        rslora=True,
        source="Kalajdzievski 2023, arXiv 2312.03732",
    ),
    "full": Strategy(
        lambda question: np.zeros(len(question.modules)),
        "no adapters: every weight is trained, the upper reference",
        tuner="full",
        states_ranks=True,
        literal=True,
    ),
}

FORMS: dict[str, Callable[[Strategy], Strategy]] = {
    "reversed": reversed_of,
    "permuted": permuted_of,
    "literal": literal_of,
    "priced": priced_of,
}
"""What a prefix makes of a strategy: `reversed_fisher`, `literal_linear_decay`."""

FAMILIES = {"last_K_blocks": "the same rank in the last K blocks, no adapters elsewhere"}
"""Strategies with a number in their name."""

TRAINED_FORMS = {
    **{f"{start}_start": about for start, about in ABOUT.items()},
    "rate_ratio_K": "B's learning rate K times A's (LoRA+, Hayou et al. 2024, arXiv 2402.12354)",
    "bias_norm": "biases, but the key's, and norms are trained and paid for first, ranks with what "
    "is left (biases alone: Ben Zaken et al. 2022, arXiv 2106.10199)",
}
"""Prefixes that change how a strategy's plan is trained, and not how modules are weighed."""


def find_strategy(name: str, defined: Mapping[str, Strategy] | None = None) -> Strategy:
    """Find a strategy by its name.

    Args:
        name: A name in STRATEGIES, FAMILIES or `defined`, or a form of one by a prefix of FORMS or
            TRAINED_FORMS; `reversed`, `permuted` and `priced` alone are those of disagreement.
        defined: User-defined strategies, by name.

    Raises:
        InputError: No such strategy, or its prefixes in another order than a name has them.

    Example:
        >>> find_strategy("permuted_fisher").signals
        ('fisher',)
        >>> find_strategy("last_3_blocks").about
        'the same rank in the last 3 blocks, no adapters elsewhere'
        >>> find_strategy("rate_ratio_8_gradient_start_uniform").signals
        ('gradient_directions',)
    """
    known = {**STRATEGIES, **(defined or {})}
    if name in known:
        return known[name]
    check_prefixes(name, FORMS)
    if (k := blocks_named(name)) is not None:
        about = FAMILIES["last_K_blocks"].replace("K", str(k))
        return Strategy(last_blocks(k), about, selects=True, source="this project")
    if (begun := start_named(name)) is not None:
        return start_of(find_strategy(begun[1], defined), begun[0])
    if (rated := rate_ratio_named(name)) is not None:
        return rate_ratio_of(find_strategy(rated[1], defined), rated[0])
    if (beside := bias_norm_named(name)) is not None:
        return bias_norm_of(find_strategy(beside[1], defined))
    form, _, rest = name.partition("_")
    if form not in FORMS or (not rest and form == "literal"):
        raise _unknown(name, known)
    return FORMS[form](find_strategy(rest or DEFAULT, defined))


def is_reserved(name: str) -> bool:
    """Whether a name has a meaning already, so that no user-defined strategy can have it."""
    taken = name in STRATEGIES or blocks_named(name) is not None or name.partition("_")[0] in FORMS
    return taken or bool(split_training(name)[0])


def _unknown(name: str, known: Mapping[str, Strategy]) -> Exception:
    forms = ", ".join(f"{form}_" for form in (*FORMS, *TRAINED_FORMS))
    return input_error(
        "unknown strategy",
        where="strategy",
        got=name,
        expected=f"one of {', '.join([*known, *FAMILIES])}; or {forms} and one of them",
        remedy="correct the name, or define it in the section strategies of params.yaml",
    )


def weigh(name: str, strategy: Strategy, question: Question) -> Weights:
    """Compute and check the weights of a strategy.

    Returns:
        Weights, shape `(n_modules,)`.

    Raises:
        InputError: A signal that was not scored, or weights that are negative, not finite or,
            but for a literal strategy, all zero.
    """
    weights = strategy.weigh(question)
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        names = [name for name, wrong in zip(question.names, bad, strict=True) if wrong]
        raise input_error(
            f"weights of {int(bad.sum())} of {len(weights)} modules cannot be used",
            where=f"strategy {name}",
            got=dict(zip(names, weights[bad].tolist(), strict=True)),
            expected="finite numbers, not negative",
            remedy="look at the scores: their noise may be too large for the model",
        )
    if not strategy.literal and not weights.any():
        raise input_error(
            "all weights are zero, so they give no order",
            where=f"strategy {name}",
            got=f"{len(weights)} modules of weight 0",
            expected="at least one positive weight",
            remedy="use the strategy uniform, or score with other settings",
        )
    return weights
