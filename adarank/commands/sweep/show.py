"""A sweep as the person at the terminal sees it: bars while it runs, then what came of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from adarank.commands.sweep.outcome import Failure, Outcome


class Board:
    """Bars on a terminal, and a line an event there as elsewhere."""

    def __init__(self, progress: Progress, cells: int):
        self._progress = progress
        self._cells, self._total = progress.add_task("cells", total=cells), cells

    @contextmanager
    def running(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show what runs with its clock while the body does; yields a function that renames it."""
        bar = self._progress.add_task(what, total=None)

        def rename(now: str) -> None:
            self._progress.update(bar, description=now)

        try:
            yield rename
        finally:
            self._progress.remove_task(bar)

    def expect(self, units: int) -> None:
        """Count so many scorings among the cells."""
        self._total += units
        self._progress.update(self._cells, total=self._total)

    def cell(self, name: str, outcome: Outcome) -> None:
        """Show that a cell has ended."""
        self._progress.advance(self._cells)
        self.say(f"{name}: {outcome}", "" if outcome.good else "red")

    def say(self, line: str, style: str = "") -> None:
        """Print a line above the bars."""
        self._progress.console.print(Text(f"sweep: {line}", style=style), soft_wrap=True)


@contextmanager
def board(console: Console, cells: int) -> Iterator[Board]:
    """Show the bars while the body runs."""
    text, bar = TextColumn("{task.description}"), BarColumn(bar_width=20)
    columns = (text, bar, MofNCompleteColumn(), TimeElapsedColumn())
    silent = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        yield Board(progress, cells)


def show_outcomes(console: Console, outcomes: Mapping[str, Outcome]) -> None:
    """Print what came of every cell, and of what follows the cells."""
    table = Table("", "outcome", box=box.SIMPLE_HEAD)
    table.add_column("seconds", justify="right")
    for name, outcome in outcomes.items():
        seconds = f"{outcome.seconds:.0f}" if outcome.seconds else "-"
        style = "" if outcome.good else "red"
        table.add_row(Text(name, style=style), Text(str(outcome), style=style), seconds)
    console.print(table)


def show_failure(console: Console, failure: Failure) -> None:
    """Print what failed, why in its own words, and where there is more."""
    console.print(Text(f"{failure.stage} failed:", style="bold red"))
    for line in [*failure.lines, f"all it printed: {failure.log}"]:
        console.print(Text(f"  {line}"), soft_wrap=True)
