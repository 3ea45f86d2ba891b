"""Every merging method: its name, source, formula and parameters with their defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Generator, Tensor

from adarank.errors import InputError, Problem, input_error
from adarank.merging.methods.average import average
from adarank.merging.methods.cart import cart
from adarank.merging.methods.dare import dare
from adarank.merging.methods.dare_ties import dare_ties
from adarank.merging.methods.iso_c import iso_c
from adarank.merging.methods.knots_ties import knots_ties
from adarank.merging.methods.task_arithmetic import task_arithmetic
from adarank.merging.methods.ties import ties
from adarank.merging.methods.tsv_m import tsv_m
from adarank.merging.parameters import Parameter, Value


@dataclass(frozen=True)
class Site:
    """What a rule may need beside the task vectors of one weight.

    Attributes:
        values: The method's parameters.
        generator: For what is random, seeded by the run's seed and the weight's name.
        size: min(d_out, d_in) of the weight where the vectors are cores of it; else None.
        thresholds: By task: from which magnitude TIES keeps entries; None within the weight.
    """

    values: Mapping[str, Value]
    generator: Generator = field(default_factory=Generator)
    size: int | None = None
    thresholds: Tensor | None = None

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.values[name])


Space = Literal["spectral", "entries", "shared", "core", "learned"]
"""What a rule does with adapters: `spectral` commutes with orthogonal maps, so their cores give the
same result; `entries` looks at single entries, so they are multiplied out, weight by weight;
`shared` keeps factors itself; `core` is another rule applied to the cores; `learned` needs texts.
"""


@dataclass(frozen=True)
class Method:
    """One merging method.

    Attributes:
        name: As in `adarank.merge(method=...)`.
        paper: Authors, year and arXiv number.
        year: Of the paper.
        formula: In a line.
        space: See Space.
        parameters: By name.
        rule: The function of the stacked task vectors; None for `core` and `learned`.
        tuned: The parameter that the paper chooses on validation, or None.
    """

    name: str
    paper: str
    year: int
    formula: str
    space: Space
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    rule: Callable[[Tensor, Site], Tensor] | None = None
    tuned: str | None = None

    @property
    def learned(self) -> bool:
        """Whether it learns on unlabelled rows."""
        return self.space == "learned"


def _scaling(default: float) -> Parameter:
    return Parameter(default, "lambda, the factor of what is added to the base")


_DENSITY = Parameter(0.2, "share of entries kept", high=1, open_low=True, open_high=False)
_DROP = Parameter(0.5, "probability that an entry is dropped", high=1)
_RATIO = Parameter(
    0.08, "components kept, as a share of min(d)", high=1, open_low=True, open_high=False
)
_RATE = Parameter(1e-3, "Adam's learning rate", open_low=True)
_OBJECTIVE = Parameter(
    "entropy",
    "what is lowered; information: entropy less that of the mean prediction",
    choices=("entropy", "information"),
)
_INNER = ("average", "task_arithmetic", "ties", "dare", "dare_ties", "tsv_m", "iso_c", "cart")

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "average",
            "Wortsman et al. 2022, arXiv 2203.05482",
            2022,
            "mean_t tau_t",
            "spectral",
            rule=lambda v, _: average(v),
        ),
        Method(
            "task_arithmetic",
            "Ilharco et al. 2022, arXiv 2212.04089",
            2022,
            "lambda sum_t tau_t",
            "spectral",
            {"scaling": _scaling(0.3)},
            lambda v, s: task_arithmetic(v, scaling=s.number("scaling")),
            "scaling",
        ),
        Method(
            "ties",
            "Yadav et al. 2023, arXiv 2306.01708",
            2023,
            "lambda mean of the largest entries that agree with the sign of their sum",
            "entries",
            {"scaling": _scaling(1.0), "density": _DENSITY},
            lambda v, s: ties(
                v,
                scaling=s.number("scaling"),
                density=s.number("density"),
                thresholds=s.thresholds,
            ),
            "scaling",
        ),
        Method(
            "dare",
            "Yu et al. 2023, arXiv 2311.03099",
            2023,
            "lambda sum_t drop_p(tau_t) / (1 - p)",
            "entries",
            {"scaling": _scaling(0.3), "drop": _DROP},
            lambda v, s: dare(v, s.generator, scaling=s.number("scaling"), drop=s.number("drop")),
            "scaling",
        ),
        Method(
            "dare_ties",
            "Yu et al. 2023, arXiv 2311.03099",
            2023,
            "lambda mean of drop_p(tau_t) / (1 - p) that agree with the sign of their sum",
            "entries",
            {"scaling": _scaling(1.0), "drop": _DROP},
            lambda v, s: dare_ties(
                v, s.generator, scaling=s.number("scaling"), drop=s.number("drop")
            ),
            "scaling",
        ),
        Method(
            "tsv_m",
            "Gargiulo et al. 2024, arXiv 2412.00081",
            2024,
            "lambda polar([U_t]) diag(sigma) polar([V_t])^T, the first min(d)/T of each task",
            "spectral",
            {"scaling": _scaling(1.0)},
            lambda v, s: tsv_m(v, scaling=s.number("scaling"), size=s.size),
            "scaling",
        ),
        Method(
            "iso_c",
            "Marczak et al. 2025, arXiv 2502.04959",
            2025,
            "lambda mean(sigma) U V^T of sum_t tau_t",
            "spectral",
            {"scaling": _scaling(1.0)},
            lambda v, s: iso_c(v, scaling=s.number("scaling")),
            "scaling",
        ),
        Method(
            "cart",
            "Choi et al. 2024, arXiv 2412.12153",
            2024,
            "avg + lambda sum_t SVD_k(tau_t - avg), k = ratio min(d)",
            "spectral",
            {"scaling": _scaling(1.0), "ratio": _RATIO},
            lambda v, s: cart(v, scaling=s.number("scaling"), ratio=s.number("ratio"), size=s.size),
            "scaling",
        ),
        Method(
            "knots_ties",
            "Stoica et al. 2024, arXiv 2410.19735",
            2024,
            "U diag(sigma) TIES(V_1 .. V_T) of [tau_1 .. tau_T]",
            "shared",
            {"scaling": _scaling(1.0), "density": _DENSITY},
            lambda v, s: _knots(v, s),
            "scaling",
        ),
        Method(
            "core_space",
            "Panariello et al. 2025, arXiv 2509.17786",
            2025,
            "L rule(M_1 .. M_T) N, tau_t = L M_t N",
            "core",
            {
                "inner": Parameter("tsv_m", "the rule applied to the cores", choices=_INNER),
                "scaling": _scaling(1.0),
                "density": _DENSITY,
                "drop": _DROP,
                "ratio": _RATIO,
            },
            tuned="scaling",
        ),
        Method(
            "adamerging",
            "Yang et al. 2023, arXiv 2310.02575",
            2023,
            "sum_t lambda_t tau_t per weight, lambda by least entropy",
            "learned",
            {
                "prior": Parameter(0.3, "lambda at the start"),
                "rate": _RATE,
                "objective": _OBJECTIVE,
            },
        ),
        Method(
            "adarank",
            "Lee et al. 2025, arXiv 2503.22178",
            2025,
            "origin + sum_t lambda_t sum_i 1[p_ti > 1/2] sigma_ti u_ti v_ti^T, by least entropy",
            "learned",
            {
                "origin": Parameter(
                    "task_arithmetic",
                    "whose components are masked",
                    choices=("task_arithmetic", "cart", "tsv_m"),
                ),
                "learn": Parameter(
                    "both",
                    "what is learned",
                    choices=("both", "masks_only", "lambdas_only"),
                ),
                "prior": Parameter(
                    -1.0, "lambda at the start; -1: .3, 1.6 (cart), 1 (tsv_m)", low=-1
                ),
                "ratio": Parameter(
                    -1.0,
                    "share of min(d) on at the start; -1: 1, .04 (cart), 1 (tsv_m)",
                    low=-1,
                    high=1,
                    open_high=False,
                ),
                "rate": _RATE,
                "objective": _OBJECTIVE,
            },
        ),
    )
}
"""By name, in the order in which they are shown."""


def method_named(name: str) -> Method:
    """The method of this name; InputError names all there are."""
    if name not in METHODS:
        raise input_error(
            "no such merging method",
            where="method",
            got=name,
            expected=f"one of: {', '.join(METHODS)}",
        )
    return METHODS[name]


def complete(method: Method, given: Mapping[str, Value]) -> dict[str, Value]:
    """Check the given parameters and add the defaults of the others.

    Raises:
        InputError: Every parameter that the method does not have or whose value it cannot take.
    """
    problems = [
        Problem(
            f"{method.name} has no such parameter",
            name,
            given[name],
            f"one of: {', '.join(method.parameters)}" if method.parameters else "none",
        )
        for name in given
        if name not in method.parameters
    ]
    for name, parameter in method.parameters.items():
        problem = parameter.problem(name, given.get(name, parameter.default))
        problems += [problem] if problem else []
    if problems:
        raise InputError(*problems)
    return {name: given.get(name, p.default) for name, p in method.parameters.items()}


def _knots(vectors: Tensor, site: Site) -> Tensor:
    merged = knots_ties(vectors, scaling=site.number("scaling"), density=site.number("density"))
    assert isinstance(merged, Tensor)
    return merged
