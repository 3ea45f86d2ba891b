"""How much of a trained adapter is left at a smaller size, by our budget and by others' rules.

    python -m bench.resize ADAPTER... [--model FOLDER --texts FILE --test FILE]

For each adapter and each share of its parameters: the relative error of the updates (Frobenius) by
kohya's rules, PEFT's and ours. A rule has a knob and no budget, so it spends less than it may; ours
is therefore run again at exactly what each rule spent. With --model and --test also the task's
metric: accuracy, from a CSV with columns text and label (the classes' numbers), or the mean loss of
a causal LM per token, from a file of texts. With --texts our ranks by the loss metric too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from adarank.factors.svd import Components, Update, norm
from adarank.factors.truncation import ranks_within
from adarank.pipeline.adapters.by_loss import by_texts
from adarank.pipeline.adapters.reading import Adapter, read_adapter
from adarank.pipeline.adapters.resizing import decomposed
from adarank.pipeline.console.reporting import telling_errors
from bench.resize_rules import RULES, Sigma, ranks_by, uniform
from bench.resize_task import Task

SHARES = (0.5, 0.25, 0.125)
app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Row:
    """One way of choosing ranks, at one size."""

    name: str
    parameters: int
    error: float
    metric: float | None


@app.command()
def main(
    adapters: Annotated[list[Path], typer.Argument(help="Folders of LoRA adapters.")],
    model: Annotated[Path | None, typer.Option(help="Their base model.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Texts for the loss metric.")] = None,
    test: Annotated[Path | None, typer.Option(help="Rows for the task's metric.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Texts of the loss metric.")] = 256,
) -> None:
    """Print a table for each adapter."""
    with telling_errors("bench.resize"):
        torch.set_num_threads(1)
        for folder in adapters:
            adapter = read_adapter(folder)
            task = Task(adapter, model, test) if model and test else None
            by_loss = by_texts(adapter, model, texts, rows, 128) if model and texts else None
            _show(folder, adapter, by_loss, task)


def compared(
    adapter: Adapter, budget: int, by_loss: Mapping[str, Components] | None, task: Task | None
) -> list[Row]:
    """Resize in memory by every rule at a budget, and by ours at what each rule spent."""
    plain = decomposed(adapter)
    sigmas: dict[str, Sigma] = {n: one.energies.sqrt().numpy() for n, one in plain.items()}
    costs = {part.name: part.parameters_per_rank for part in adapter.linear}

    def row(name: str, components: Mapping[str, Components], ranks: Mapping[str, int]) -> Row:
        metric = task.metric(components, ranks) if task else None
        spent = sum(costs[module] * rank for module, rank in ranks.items())
        return Row(name, spent, relative_error(plain, components, ranks), metric)

    def ours(name: str, components: Mapping[str, Components], within: int) -> Row:
        energies = {module: one.energies.tolist() for module, one in components.items()}
        return row(name, components, ranks_within(energies, costs, within).ranks)

    chosen = {name: ranks_by(rule, sigmas, costs, budget) for name, rule in RULES.items()}
    chosen["one rank (PEFT)"] = uniform(sigmas, costs, budget)
    found: list[Row] = []
    for name, ranks in chosen.items():
        found.append(row(name, plain, ranks))
        found.append(ours("  ours, as many", plain, found[-1].parameters))
    found.append(ours("ours, the budget", plain, budget))
    if by_loss:
        found.append(ours("ours, the budget, by loss", by_loss, budget))
    return found


def relative_error(
    whole: Mapping[str, Components], used: Mapping[str, Components], ranks: Mapping[str, int]
) -> float:
    """sqrt(sum ||dW - dW'||^2 / sum ||dW||^2), dW - dW' being the parts that were left out."""
    lost = sum(
        norm(Update(one.rows[ranks[name] :], one.u[:, ranks[name] :])) ** 2
        for name, one in used.items()
        if ranks[name] < len(one.energies)
    )
    return sqrt(lost / sum(float(one.energies.sum()) for one in whole.values()))


def _show(
    folder: Path, adapter: Adapter, by_loss: Mapping[str, Components] | None, task: Task | None
) -> None:
    own = sum(part.parameters for part in adapter.linear)
    title = f"{folder.name}: {own:,} parameters"
    table = Table(title=f"{title}, {task.name} {task.whole():.4f}" if task else title)
    for column in ("share", "rule", "parameters", "relative error", *([task.name] if task else [])):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for share in SHARES:
        for one in compared(adapter, int(share * own), by_loss, task):
            metric = [] if one.metric is None else [f"{one.metric:.4f}"]
            error = f"{one.error:.4f}"
            table.add_row(f"{share:g}", one.name, f"{one.parameters:,}", error, *metric)
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = 110
    console.print(table)


if __name__ == "__main__":
    app()
