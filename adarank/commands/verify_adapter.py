"""The command `adarank verify`: what an adapter's files hold, beside what was planned."""

from pathlib import Path
from typing import Annotated

import typer

from adarank.commands.resize import Adapter
from adarank.errors import RunError
from adarank.pipeline.console.reporting import say, telling_errors


def verify(
    adapter: Adapter,
    plan: Annotated[
        Path | None,
        typer.Option(help="JSON of `adarank ranks`, a plan, or LoraConfig's arguments."),
    ] = None,
) -> None:
    """Show each module's rank, scale and parameters as saved; with --plan, hold them to it.

    Ranks are read from the tensors, scales from the configuration as PEFT reads it. Exits with 1 if
    anything differs from the plan, or a factor is not finite.
    """
    with telling_errors("adarank verify"):
        from adarank.pipeline.adapters.comparing import compare, read_plan
        from adarank.pipeline.adapters.reading import read_adapter, refuse_non_finite
        from adarank.pipeline.console.adapter_table import show_adapter

        read = read_adapter(adapter)
        show_adapter(read)
        refuse_non_finite(read)
        if plan is None:
            return
        if problems := compare(read, read_plan(plan, read)):
            raise RunError(*problems)
        say(f"{len(read.parts)} modules as planned: ranks, scales and parameters")
