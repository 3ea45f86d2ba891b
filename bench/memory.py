"""Peak memory of scoring and of training, by the model's size: what one more parameter costs.

    python -m bench.memory [--json] [--sizes 10,40,160,600] [--cases "linearized;exact"]

Llamas of random weights, in float32 on the CPU, a batch of two texts of eight tokens: so few that
the weights, and what grows with them, are nearly all there is. Each measurement is a process of
its own, its highest resident size less that of a process that does nothing. A straight line
through all sizes but the largest predicts the largest, 8B and 70B.
"""

import json
import multiprocessing
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkServerContext
from typing import Annotated, Any

import numpy as np
import torch
import typer
from peft import LoraConfig, get_peft_model
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from adarank.models.modules import find_modules
from adarank.models.stacks import base_model
from adarank.scoring.estimators.exact import Exact, exact
from adarank.scoring.estimators.linearized import Linearized, linearized
from adarank.scoring.estimators.published import AsPublished, as_published
from adarank.scoring.signals.activation_variance import activation_variance
from adarank.scoring.signals.fisher import fisher
from adarank.scoring.signals.gradient_spectrum import gradient_spectrum
from adarank.scoring.signals.stable_rank import stable_rank
from adarank.scoring.signals.weight_gradient import weight_gradient

SHAPES = {10: (256, 12), 40: (512, 12), 85: (768, 12), 160: (1024, 12), 600: (1536, 20)}
"""Width and blocks, by millions of parameters."""
GIB = 2**30
_BOUND = 0.125  # GiB, of the cases that are bounded


@dataclass(frozen=True)
class Line:
    """What a case takes, by the number of parameters.

    Attributes:
        parameters: Of each model, in order of size.
        peaks: Bytes at each, above a process that does nothing.
        per_parameter: Slope of the straight line through all but the last, in bytes.
        base: Its value at no parameter, in bytes.
    """

    parameters: list[int]
    peaks: list[int]
    per_parameter: float
    base: float

    def at(self, parameters: float) -> float:
        """Predict the bytes at a number of parameters."""
        return self.base + self.per_parameter * parameters

    @property
    def error(self) -> float:
        """Predicted over measured at the largest size, less one."""
        return self.at(self.parameters[-1]) / self.peaks[-1] - 1


def fitted(parameters: Sequence[int], peaks: Sequence[int]) -> Line:
    """Fit a straight line to all sizes but the largest."""
    slope, base = np.polyfit(parameters[:-1], peaks[:-1], 1)
    return Line(list(parameters), list(peaks), float(slope), float(base))


def random_llama(width: int, blocks: int) -> nn.Module:
    """Make a Llama of random weights, each of which is written once."""
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=width,
        intermediate_size=round(width * 2.6875),
        num_hidden_layers=blocks,
        num_attention_heads=width // 64,
        use_cache=False,
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
    model.to_empty(device="cpu")
    model.model.rotary_emb = LlamaRotaryEmbedding(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.uniform_(-0.03, 0.03, generator=generator)
    return model.eval()


def _batch() -> dict[str, torch.Tensor]:
    tokens = torch.randint(1, 1000, (2, 8), generator=torch.Generator().manual_seed(0))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def _by_disturbing(run: Callable[[nn.Module, list[Any], list[Any]], object]) -> Any:
    def case(model: nn.Module) -> None:
        base = base_model(model)[1]
        run(base, [_batch()], find_modules(base))

    return case


def _by_labels(run: Callable[..., object], **options: Any) -> Any:
    def case(model: nn.Module) -> None:
        batch = _batch()
        run(model, [batch | {"labels": batch["input_ids"]}], find_modules(model), **options)

    return case


def _exact(model: nn.Module, batches: list[Any], modules: list[Any]) -> None:
    # A pass holds most at the last block, and no more for the other modules.
    last = [module for module in modules if module.block == modules[-1].block]
    exact(model, batches, last, Exact(trials=2, memory_gb=2))


def _linearized(model: nn.Module, batches: list[Any], modules: list[Any]) -> None:
    linearized(model, batches, modules, Linearized())


def _as_published(model: nn.Module, batches: list[Any], modules: list[Any]) -> None:
    # One module is enough to hold what it holds: the first weights of all.
    as_published(model, batches, modules, AsPublished(trials=1))


def _finetune(model: nn.Module) -> None:
    adapted = get_peft_model(model, LoraConfig(r=1, target_modules="all-linear"))  # pyright: ignore
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    batch = _batch()
    for _ in range(2):
        adapted(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


CASES: dict[str, Callable[[nn.Module], None]] = {
    "the model alone": lambda _: None,
    "linearized": _by_disturbing(_linearized),
    "exact": _by_disturbing(_exact),
    "as_published": _by_disturbing(_as_published),
    "stable_rank": _by_disturbing(lambda model, _, modules: stable_rank(model, modules)),
    "weight_gradient": _by_labels(weight_gradient),
    "weight_gradient, bounded": _by_labels(weight_gradient, memory_gb=_BOUND),
    "gradient_spectrum, bounded": _by_labels(gradient_spectrum, components=4, memory_gb=_BOUND),
    "fisher": _by_labels(fisher),
    "activation_variance, bounded": _by_labels(activation_variance, components=4, memory_gb=_BOUND),
    "finetune, rank 1": _finetune,
}


def peak(case: str | None, size: int) -> tuple[int, int]:
    """Run a case in this process.

    Args:
        case: Its name; None to do nothing.
        size: A key of SHAPES.

    Returns:
        The model's parameters, and the process's highest resident size in bytes.
    """
    torch.set_num_threads(1)
    parameters = 0
    if case is not None:
        model = random_llama(*SHAPES[size])
        parameters = sum(p.numel() for p in model.parameters())
        CASES[case](model)
    return parameters, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(cases: Sequence[str], sizes: Sequence[int]) -> dict[str, Line]:
    """Measure every case at every size, each in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.memory"])
    nothing = _apart(context, None, sizes[0])[1]
    found: dict[str, Line] = {}
    for case in cases:
        results = [_apart(context, case, size) for size in sizes]
        peaks = [resident - nothing for _, resident in results]
        found[case] = fitted([parameters for parameters, _ in results], peaks)
    return found


def _apart(context: ForkServerContext, case: str | None, size: int) -> tuple[int, int]:
    with context.Pool(1) as pool:
        return pool.apply(peak, (case, size))


app = typer.Typer(add_completion=False)


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="One line of figures.")] = False,
    sizes: Annotated[str, typer.Option(help="Millions of parameters.")] = "10,40,160,600",
    cases: Annotated[str, typer.Option(help="Names, semicolons between them, or all.")] = "all",
) -> None:
    """Measure peak memory by the model's size, and predict it for larger models."""
    chosen = list(CASES) if cases == "all" else [name.strip() for name in cases.split(";")]
    lines = measure(chosen, [int(size) for size in sizes.split(",")])
    if as_json:
        figures = {case: asdict(line) | {"error": line.error} for case, line in lines.items()}
        typer.echo(json.dumps(figures))
    else:
        Console(width=110).print(_table(lines))


def _table(lines: Mapping[str, Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("case", "peak at the largest", "predicted", "bytes / parameter", "8B", "70B"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case, line in lines.items():
        table.add_row(
            case,
            f"{line.peaks[-1] / GIB:.2f} GiB",
            f"{line.error:+.1%}",
            f"{line.per_parameter:.2f}",
            f"{line.at(8e9) / GIB:.0f} GiB",
            f"{line.at(70e9) / GIB:.0f} GiB",
        )
    return table


if __name__ == "__main__":
    app()
