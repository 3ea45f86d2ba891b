"""Compare cells that one study cannot hold side by side, as those of other optimizers or scales.

    python -m bench.paired adamw/uniform-2 muon/uniform-2 ema/uniform-2 [--family 15]

A cell is its name below metrics/cells, or a JSON file that was kept from there. Each is compared
with the first on test, paired by seed: mean difference of the headline metric, its 95 % interval,
and the p of a paired t test, corrected by Holm for all comparisons of the call. `--family` counts
comparisons that were planned beside these: their p is taken as 1, so the correction is as strict
as if they had been made.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adarank.comparison.significance import Estimate, detectable, estimate, holm, paired, t_p
from adarank.errors import input_error
from adarank.pipeline.console.reporting import telling_errors
from adarank.pipeline.files.whole import read_json

HEAD = ("cell", "rate", "mean, sd", "less the first's, 95 % interval", "p", "Holm", "80 % power at")

app = typer.Typer(add_completion=False)


@app.command()
def main(
    cells: Annotated[list[str], typer.Argument(help="The reference first.")],
    family: Annotated[int, typer.Option(min=0, help="Comparisons planned, at least.")] = 0,
    metrics: Annotated[Path, typer.Option(help="Where cells lie.")] = Path("metrics/cells"),
) -> None:
    """Print each cell's difference from the first, by seed."""
    with telling_errors("bench-paired"):
        records = {name: _read(name, metrics) for name in cells}
        table = Table(*HEAD)
        for row in compared(records, family):
            table.add_row(*row)
        Console(width=120).print(table)


def compared(records: dict[str, dict[str, Any]], family: int = 0) -> list[tuple[str, ...]]:
    """Compare every record with the first; a row of texts each, the first's own first."""
    (reference, first), *others = records.items()
    base = on_test(first)
    pairs = {name: paired(on_test(record), base) for name, record in others}
    planned = max(family, len(pairs))
    ps = [t_p(pair.differences) for pair in pairs.values()]
    corrected = holm([*ps, *[1.0] * (planned - len(ps))])
    rows = [(reference, _rate(first), _spread(estimate(list(base.values()))), "", "", "", "")]
    for (name, pair), p, holms in zip(pairs.items(), ps, corrected, strict=False):
        gain = pair.difference
        assert gain is not None
        power = detectable(gain.sd, gain.n, family=planned)
        own = estimate(list(on_test(records[name]).values()))
        shown = (f"{p:.4f}", f"{holms:.4f}", f"{power:.4f}" if power else "")
        rows.append((name, _rate(records[name]), _spread(own), _interval(gain), *shown))
    return rows


def on_test(record: dict[str, Any]) -> dict[int, float]:
    """Return the headline metric on test by seed."""
    return {one["seed"]: one["headline"] for one in record["seeds"] if one["split"] == "test"}


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = Path(name) if name.endswith(".json") else folder / f"{name}.json"
    if not path.exists():
        raise input_error("no such cell", where=str(path), expected="a file of metrics/cells")
    return read_json(path)


def _rate(record: dict[str, Any]) -> str:
    return f"{record['learning_rate']:g}"


def _spread(one: Estimate) -> str:
    return f"{one.mean:.4f}" + (f", {one.sd:.4f}" if one.sd is not None else "")


def _interval(gain: Estimate) -> str:
    if gain.low is None or gain.high is None:
        return f"{gain.mean:+.4f} (one pair)"
    return f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


if __name__ == "__main__":
    app()
