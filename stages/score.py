"""Score every module by the model alone: how much its output moves when a module is disturbed.

Run: python -m stages.score --signal disagreement
"""

# Before all other imports: importing it hashes the code, which these then read.
from adarank.pipeline.scratch.fingerprint import fingerprint

# isort: split
from typing import Annotated, Any

import typer

from adarank.models.coverage import cover
from adarank.ordering.learned_order import learned_order
from adarank.pipeline.artifacts.model import form_of
from adarank.pipeline.artifacts.places import OF_MODEL
from adarank.pipeline.artifacts.scores import about_coverage, about_modules, write_scores
from adarank.pipeline.console.progress import progress
from adarank.pipeline.console.reporting import PARAMS_FILE, ParamsFile, reporting, say
from adarank.pipeline.params.loader import Slice, describe, load
from adarank.pipeline.params.model import ModelSection
from adarank.pipeline.params.probe import ProbeSection, read_texts
from adarank.pipeline.params.score import EstimatorName, ScoreSection
from adarank.pipeline.params.share import Share, not_shareable, share_from
from adarank.pipeline.params.signal import SignalName
from adarank.pipeline.running.disturbing import Disturbing, Scored, checked_model, load_for_scoring
from adarank.pipeline.running.processes import joined_processes
from adarank.scoring.signals.stable_rank import stable_rank
from adarank.scoring.text_inputs import any_text
from adarank.scoring.workers import is_first


class Params(Slice):
    """What the stage reads."""

    probe: ProbeSection
    score: ScoreSection
    model: ModelSection


_BY_WEIGHTS = ("adarank.ordering.learned_order", "adarank.scoring.signals.stable_rank")
"""Signals that take no part in disagreement: an edit of them keeps its stored parts."""

ESTIMATORS: dict[SignalName, EstimatorName | None] = {
    "disagreement": None,  # by score.estimator
    "linearized": "linearized",
    "as_published": "as_published",
}

app = typer.Typer(add_completion=False)
ShareOf = Annotated[
    str | None,
    typer.Option(
        "--share",
        help="Score this share of the modules alone, such as 1/4, into the scratch store.",
    ),
]
Signal = Annotated[
    SignalName,
    typer.Option(
        help="disagreement, by score.estimator; linearized or as_published, whatever that says; "
        "stable_rank or learned_order, from the weights alone",
    ),
]


@app.command(epilog=describe(Params))
def main(
    params: ParamsFile = PARAMS_FILE, signal: Signal = "disagreement", share: ShareOf = None
) -> None:
    """Score modules of data/model; writes data/scores/model/SIGNAL.parquet and its summary.

    Under `accelerate launch` or torchrun the processes share the work.
    """
    with reporting(f"score-{signal}", shared=True) as costs, joined_processes():
        loaded = load(Params, params)
        if share is None:
            run(loaded, signal, costs)
        else:
            run_share(loaded, signal, share_from(share))


def run(params: Params, signal: SignalName, costs: dict[str, Any]) -> None:
    """Score data/model and write the table and its summary.

    Args:
        params: What the stage reads.
        signal: Which score to compute.
        costs: Gets what else the scoring's time stands for.
    """
    model_sha256 = checked_model(trusted=params.model.trust_remote_code)
    if signal in ("stable_rank", "learned_order"):
        scores, estimator, facts = _by_weights(params, signal)
    else:
        disturbing = _disturbing(params, signal, model_sha256)
        scores, estimator, facts = disturbing.score(costs)
    if is_first():
        write_scores(OF_MODEL, signal, estimator, scores, facts, model_sha256)


def run_share(params: Params, signal: SignalName, share: Share) -> None:
    """Score a share of the modules into the scratch store.

    Raises:
        InputError: These scores cannot be shared out.
    """
    if signal != "disagreement":
        raise not_shareable(signal, "disagreement")
    model_sha256 = checked_model(trusted=params.model.trust_remote_code)
    _disturbing(params, signal, model_sha256).score_share(share)


def _disturbing(params: Params, signal: SignalName, model_sha256: str) -> Disturbing:
    return Disturbing(
        fingerprint("stages.score", without=_BY_WEIGHTS),
        read_texts(params.probe),
        params.probe.max_length,
        params.score,
        form_of(params.model),
        model_sha256,
        ESTIMATORS[signal],
    )


def _by_weights(params: Params, signal: SignalName) -> Scored:
    model = load_for_scoring(params.score, form_of(params.model))[0]
    covered = cover(model, any_text(model), params.score.modules)
    modules = list(covered.modules)
    say(f"score: {signal}, {len(modules)} modules, from their weights alone")
    facts = {**about_coverage(covered), **about_modules(model, modules)}
    with progress("score", len(modules)) as advance:
        if signal == "stable_rank":
            return stable_rank(model, modules, advance=advance), signal, facts
        ordered = learned_order(model, modules, advance=advance)
    for line in ordered.caveats:
        say(f"score: {line}")
    facts |= {"caveats": list(ordered.caveats), "cyclic_triples": ordered.cyclic}
    return ordered.scores, signal, facts


if __name__ == "__main__":
    app()
