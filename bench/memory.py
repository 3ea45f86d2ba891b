"""Peak memory of scoring, training and merging, by the model's size: what a parameter costs.

    python -m bench.memory [--json] [--sizes 10,40,85,160,600] [--cases "linearized;exact"]
                           [--log FILE]

Llamas of random weights, on the CPU, a batch of two texts of eight tokens: so few that the weights,
and what grows with them, are nearly all there is. Each measurement is a process of its own, its
highest resident size less that of a process that does nothing. A straight line through all sizes
but the largest predicts the largest, 8B and 70B. Bounded cases may hold 0.125 GiB beside the
weights; the smallest model needs less, so their line leaves it out too. The estimates of
`adarank ranks --dry-run` are compared with the largest size's peak. With --log, each measurement is
written down as it is made, and none that stands there is made again.
"""

import json
import multiprocessing
import resource
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from adarank.commands.dry_run import expected, expected_of_weights
from adarank.scoring.estimators.exact import Exact
from adarank.scoring.estimators.linearized import Linearized
from bench.memory_cases import CASES, SHAPES, batch_of_tokens, empty_llama, random_llama

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Line:
    """What a case takes, by the number of parameters.

    Attributes:
        parameters: Of each model, in order of size.
        peaks: Bytes at each, above a process that does nothing.
        per_parameter: Slope of the straight line through all but the last, in bytes.
        base: Its value at no parameter, in bytes.
        dry_run: What `adarank ranks --dry-run` says of the largest size, in bytes; None for a case
            that the command does not run.
    """

    parameters: list[int]
    peaks: list[int]
    per_parameter: float
    base: float
    dry_run: float | None = None

    def at(self, parameters: float) -> float:
        """Predict the bytes at a number of parameters."""
        return self.base + self.per_parameter * parameters

    @property
    def error(self) -> float:
        """Predicted over measured at the largest size, less one."""
        return self.at(self.parameters[-1]) / self.peaks[-1] - 1

    @property
    def dry_run_error(self) -> float | None:
        """The dry run's estimate over measured at the largest size, less one."""
        return None if self.dry_run is None else self.dry_run / self.peaks[-1] - 1


def fitted(parameters: Sequence[int], peaks: Sequence[int], *, bounded: bool = False) -> Line:
    """Fit a straight line to all sizes but the largest, and but the smallest of a bounded case."""
    first = 1 if bounded else 0
    slope, base = np.polyfit(parameters[first:-1], peaks[first:-1], 1)
    return Line(list(parameters), list(peaks), float(slope), float(base))


def peak(case: str | None, size: int, folder: Path) -> int:
    """Run a case in this process.

    Args:
        case: Its name; None to do nothing.
        size: A key of SHAPES.
        folder: What `prepared` filled for it.

    Returns:
        The process's highest resident size in bytes.
    """
    torch.set_num_threads(1)
    if case is not None:
        chosen = CASES[case]
        chosen.run(folder if chosen.prepare else random_llama(*SHAPES[size], chosen.dtype))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def prepared(case: str, size: int, folder: Path) -> int:
    """Fill the folder that a case needs, in this process; return the model's parameters."""
    prepare = CASES[case].prepare
    if prepare is not None:
        model = random_llama(*SHAPES[size])
        prepare(model, folder)
    return sum(p.numel() for p in empty_llama(*SHAPES[size]).parameters())


def dry_run(case: str, size: int) -> float | None:
    """Estimate a case's bytes as `adarank ranks --dry-run` does; None where it has no estimate."""
    model = empty_llama(*SHAPES[size])
    kinds, batches = ["all-linear"], [batch_of_tokens()]
    if case == "learned order":
        return expected_of_weights(model, kinds).memory
    settings = {"linearized": Linearized(), "exact": Exact(trials=2)}.get(case)
    return settings and expected(model, batches, kinds, settings).memory


def measure(cases: Sequence[str], sizes: Sequence[int], log: Path | None = None) -> dict[str, Line]:
    """Measure every case at every size, each in a process of its own.

    Args:
        cases: Keys of CASES.
        sizes: Keys of SHAPES, in order.
        log: Where measurements are kept, a line of JSON each, and read from; None: nowhere.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.memory"])
    known = logged(log)
    nothing = _apart(context, peak, None, sizes[0], Path())
    found: dict[str, Line] = {}
    for case in cases:
        for size in sizes:
            if (case, size) in known:
                continue
            with tempfile.TemporaryDirectory() as folder:
                parameters = _apart(context, prepared, case, size, Path(folder))
                above = _apart(context, peak, case, size, Path(folder)) - nothing
            known[case, size] = parameters, above
            if log is not None:
                line = {"case": case, "size": size, "parameters": parameters, "peak": above}
                with log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        parameters, peaks = zip(*(known[case, size] for size in sizes), strict=True)
        line = fitted(parameters, peaks, bounded=CASES[case].bounded)
        found[case] = replace(line, dry_run=dry_run(case, sizes[-1]))
    return found


def logged(log: Path | None) -> dict[tuple[str, int], tuple[int, int]]:
    """Read what a log holds: parameters and peak by case and size."""
    lines = log.read_text().splitlines() if log is not None and log.exists() else []
    entries = [json.loads(line) for line in lines]
    return {(one["case"], one["size"]): (one["parameters"], one["peak"]) for one in entries}


def _apart(context: ForkServerContext, work: Any, *args: Any) -> int:
    with context.Pool(1) as pool:
        return pool.apply(work, args)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="One line of figures.")] = False,
    sizes: Annotated[str, typer.Option(help="Millions of parameters.")] = "10,40,85,160,600",
    cases: Annotated[str, typer.Option(help="Names, semicolons between them, or all.")] = "all",
    log: Annotated[Path | None, typer.Option(help="Measurements made, to go on from.")] = None,
) -> None:
    """Measure peak memory by the model's size, and predict it for larger models."""
    chosen = list(CASES) if cases == "all" else [name.strip() for name in cases.split(";")]
    lines = measure(chosen, [int(size) for size in sizes.split(",")], log)
    if as_json:
        figures = {
            case: asdict(line) | {"error": line.error, "dry_run_error": line.dry_run_error}
            for case, line in lines.items()
        }
        typer.echo(json.dumps(figures))
    else:
        Console(width=110).print(_table(lines))


def _table(lines: Mapping[str, Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    columns = "case|peak at the largest|predicted|dry run|bytes / parameter|8B|70B"
    for column in columns.split("|"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for case, line in lines.items():
        table.add_row(
            case,
            f"{line.peaks[-1] / GIB:.2f} GiB",
            f"{line.error:+.1%}",
            "" if line.dry_run_error is None else f"{line.dry_run_error:+.1%}",
            f"{line.per_parameter:.2f}",
            f"{line.at(8e9) / GIB:.0f} GiB",
            f"{line.at(70e9) / GIB:.0f} GiB",
        )
    return table


if __name__ == "__main__":
    app()
