"""An adapter for people to read: rank, scale and parameters of every module, as saved."""

from rich.console import Console
from rich.table import Table

from adarank.pipeline.adapters.reading import Adapter
from adarank.pipeline.console.module_names import heading, shared_prefix
from adarank.pipeline.console.reporting import say


def show_adapter(adapter: Adapter) -> None:
    """Print a row a module on standard output, and the modules saved whole on standard error."""
    table = Table(title=f"adapter of {adapter.config.get('base_model_name_or_path') or 'no name'}")
    parameters = sum(part.parameters for part in adapter.parts)
    names = [part.name for part in adapter.parts]
    table.add_column(heading(names), footer=f"all {len(names)}", overflow="fold")
    table.add_column("rank", footer=str(max(part.rank for part in adapter.parts)), justify="right")
    table.add_column("scale", justify="right")
    table.add_column("parameters", footer=f"{parameters:,}", justify="right")
    table.show_footer = True
    for part in adapter.parts:
        name = part.name.removeprefix(shared_prefix(names))
        table.add_row(name, str(part.rank), f"{part.scale:g}", f"{part.parameters:,}")
    Console().print(table)
    if adapter.others:
        say(f"saved whole beside the factors: {', '.join(adapter.others)}")
