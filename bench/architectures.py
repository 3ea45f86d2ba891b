"""Every architecture at pico size: what is planned, what PEFT builds, what learns, what merges.

    python -m bench.architectures [--out docs/ARCHITECTURES_COVERED.md] [--only llama --only t5]

Each model is made from its configuration alone, two blocks of width 32, random weights, and read
by its base class. Then: the modules that `cover` keeps get a plan of rank 2; PEFT builds it; a
backward from the output reaches every adapter or does not; and after random factors the adapters
are merged. No weights are downloaded. A model that fails stands in the table with its reason.

Columns:

- modules: linear modules covered, of those found.
- planned, built: LoRA parameters of the plan, and of the model that PEFT made.
- share: part of the blocks' weights (matrices) that the covered modules hold.
- no gradient: adapters whose B gets no gradient; must be 0.
- merge error: largest difference of the output after merge_and_unload, over the largest output.
- left out: what of the blocks is not covered, in the words users read.
"""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from peft import get_peft_model
from torch import Tensor, nn
from transformers import AutoModel

from adarank.allocation.allocate import allocate
from adarank.errors import AdaRankError
from adarank.models.coverage import Coverage, cover, percent
from adarank.pipeline.console.reporting import say
from adarank.scoring.outputs import Output, compared_output
from adarank.scoring.table import score_table
from adarank.scoring.text_inputs import with_decoder_inputs
from bench.pico_configs import NAMES, pico_config

OUT = Path("docs/ARCHITECTURES_COVERED.md")
_RANK = 2


@dataclass(frozen=True)
class Row:
    """One architecture's line; see the module's text for the columns."""

    name: str
    covered: int
    found: int
    planned: int
    built: int
    share: float
    no_gradient: int
    merge_error: float
    left_out: tuple[str, ...]


def measure(name: str) -> Row:
    """Cover, plan, build, differentiate and merge one architecture at pico size.

    Raises:
        AdaRankError: The model is refused, in words.
    """
    torch.manual_seed(0)
    model = AutoModel.from_config(pico_config(name)).float().eval()
    batch = _batch(model)
    forward = partial(compared_output, output=_output(model, batch))
    coverage = cover(model, [batch], forward=forward)
    plan = _plan(coverage)
    adapted = get_peft_model(model, plan.lora_config(model)).eval()
    built = _fill(adapted)
    loss = forward(adapted.get_base_model(), batch).float()
    loss.backward(torch.randn(loss.shape, generator=torch.Generator().manual_seed(1)))
    lacking = sum(
        "lora_B" in name and (p.grad is None or not p.grad.any())
        for name, p in adapted.named_parameters()
    )
    return Row(
        name,
        len(coverage.modules),
        coverage.found,
        plan.parameters,
        built,
        coverage.share,
        lacking,
        _merge_error(adapted, batch, forward),
        tuple(str(part) for part in coverage.left_out),
    )


def table(rows: Sequence[Row | tuple[str, str]]) -> str:
    """Lay the rows out as Markdown; a failed architecture is its name and the reason."""
    head = "architecture | modules | planned | built | share | no gradient | merge error | left out"
    lines = [f"| {head} |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        if isinstance(row, tuple):
            lines.append(f"| {row[0]} | - | - | - | - | - | - | {row[1]} |")
            continue
        cells = (
            row.name,
            f"{row.covered} of {row.found}",
            row.planned,
            row.built,
            percent(row.share),
            row.no_gradient,
            f"{row.merge_error:.0e}",
            "; ".join(row.left_out),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _batch(model: nn.Module) -> dict[str, Tensor]:
    tokens = torch.randint(4, 37, (3, 16), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return with_decoder_inputs(model, batch)


@torch.no_grad()
def _output(model: nn.Module, batch: dict[str, Tensor]) -> Output:
    """Every token's state: the output that has a gradient to all that runs."""
    compared_output(model, batch, "last_hidden")
    return "last_hidden"


def _plan(coverage: Coverage) -> Any:
    equal = torch.ones(len(coverage.modules), 1).numpy()
    scores = score_table(coverage.modules, equal)
    return allocate({"disagreement": scores}, budget=_RANK, strategy="uniform")


@torch.no_grad()
def _fill(adapted: nn.Module) -> int:
    """Give every factor random entries; count them."""
    generator, count = torch.Generator().manual_seed(2), 0
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            count += parameter.numel()
    return count


@torch.no_grad()
def _merge_error(adapted: Any, batch: dict[str, Tensor], forward: Any) -> float:
    before = forward(adapted.get_base_model(), batch)
    merged = copy.deepcopy(adapted).merge_and_unload()
    difference = (forward(merged, batch) - before).abs().max()
    return float(difference / before.abs().max())


def _row(name: str) -> Row | tuple[str, str]:
    try:
        return measure(name)
    except AdaRankError as error:
        problem = error.problems[0]
        return name, f"refused: {problem.what} ({problem.got})"
    except Exception as error:
        return name, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:160]}"


app = typer.Typer(add_completion=False)
Only = Annotated[list[str] | None, typer.Option("--only", help="These architectures alone.")]
Out = Annotated[Path | None, typer.Option(help="A Markdown file; else standard output.")]


@app.command()
def main(only: Only = None, out: Out = None) -> None:
    """Measure every architecture at pico size."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    rows: list[Row | tuple[str, str]] = []
    for name in only or NAMES:
        rows.append(_row(name))
        say(f"architectures: {table(rows[-1:]).splitlines()[-1]}")
    text = _PAGE.format(
        count=len(rows),
        whole=sum(isinstance(row, Row) for row in rows),
        transformers=transformers.__version__,
        table=table(rows),
    )
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text)


_PAGE = """# Architectures covered

Made by `python -m bench.architectures --out docs/ARCHITECTURES_COVERED.md` with transformers
{transformers}: {whole} of {count} architectures at pico size (two blocks, random weights), each
read by its base class. What the columns mean stands in `bench/architectures.py`. A share is of
the blocks' matrices; what is left out is named as users read it.

{table}
"""


if __name__ == "__main__":
    app()
