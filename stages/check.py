"""Check the whole of params.yaml before anything runs; say all that is wrong at once."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from adarank.errors import InputError
from adarank.pipeline.artifacts.places import OF_MODEL, SCORES
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.params.loader import load
from adarank.pipeline.params.signal import MEASURED
from adarank.pipeline.params.study import StudySection
from adarank.pipeline.params.whole import WholeParams, check_params, resolved

app = typer.Typer(add_completion=False)
All = Annotated[
    bool, typer.Option("--all", help="Print the whole study, its defaults filled in, as YAML.")
]


@app.command()
def main(params: ParamsFile = PARAMS_FILE, everything: All = False) -> None:
    """Check params.yaml as every stage will read it; exit code 2 and all problems if it is bad."""
    with reporting("check"):
        problems = check_params(params)
        if problems:
            raise InputError(*problems)
        whole = load(WholeParams, params)
        if everything:
            yaml = YAML(typ="safe", pure=True)
            yaml.default_flow_style = False
            yaml.dump(resolved(whole), sys.stdout)
        say(f"check: {params} is good")
        for path in _leftovers(whole.study):
            say(f"check: {path} is of no signal of the study; allocate reruns once it is removed")


def _leftovers(study: StudySection) -> list[Path]:
    named = {SCORES / OF_MODEL / f"{signal}.parquet" for signal in study.signals}
    named |= {
        SCORES / task / f"{signal}.parquet" for task in study.tasks for signal in study.task_signals
    }
    named |= {SCORES / task / f"{MEASURED}.parquet" for task in study.tasks}
    return sorted(set(SCORES.glob("*/*.parquet")) - named)


if __name__ == "__main__":
    app()
