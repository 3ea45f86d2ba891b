"""Fetch the model from its source, checked and in one form."""

from typing import Annotated, Literal

import typer

from adarank.pipeline.artifacts.places import MODEL, MODEL_SOURCE
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting
from adarank.pipeline.console.secrets import hide_in_logs
from adarank.pipeline.files.whole import whole_folder, write_json
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.sources.commits import record, recorded
from adarank.pipeline.sources.model import fetch_model


class Params(Slice):
    """What the stage reads."""

    model: ModelSection


app = typer.Typer(add_completion=False)
Part = Annotated[Literal["model"], typer.Argument(help="What to fetch.")]


@app.command(epilog=describe(Params))
def main(part: Part = "model", params: ParamsFile = PARAMS_FILE) -> None:
    """Fetch the model to data/model."""
    hide_in_logs()
    with reporting(f"download-{part}"):
        run(load(Params, params).model)


def run(section: ModelSection) -> None:
    """Write data/model, whole, data/sources/model.json, and for a branch locks/model.json."""
    with whole_folder(MODEL) as folder:
        found = fetch_model(
            section.source,
            folder,
            convert_pickle=section.convert_pickle,
            trust_remote_code=section.trust_remote_code,
            pins=section.sha256,
            recorded=recorded("model", section.source),
        )
    write_json(MODEL_SOURCE, found)
    record("model", section.source, found["revision"])


if __name__ == "__main__":
    app()
