"""One cell of the study: its plan, checked against the model at hand, and its files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error, within
from adarank.pipeline.artifacts.places import MODEL, PLANS
from adarank.pipeline.files.whole import Record as Form
from adarank.pipeline.files.whole import folder_sha256, read_json, read_record
from adarank.pipeline.params.loader import Slice
from adarank.pipeline.params.study import Seeds, cell_name, plan_name

Task = Annotated[str, typer.Option("--task", help="The cell's task, as study.tasks has it.")]
Strategy = Annotated[str, typer.Option("--strategy", help="The cell's strategy.")]
Budget = Annotated[str, typer.Option("--budget", help="The cell's budget, as params.yaml has it.")]


TRAINED = "trained.json"
"""A seed's record: ranks as read back, parameters, learning rate."""

FAILED = "failed.json"
"""In place of the former: why a seed's training could not go on."""

RATES = "learning_rates.json"
"""A cell's learning rate, and what it was chosen from."""

Record = dict[str, Any]


class TrainedForm(Form):
    """What a seed's record holds; see `adarank.pipeline.running.one_run.run`."""

    ranks: dict[str, int]
    parameters: int
    peak_parameters: int
    head_parameters: int
    learning_rate: float


class FailedForm(Form):
    """What is recorded of a seed whose training failed; see `running.one_run`."""

    error: str
    parameters: int
    head_parameters: int
    learning_rate: float


class RatesForm(Form):
    """What a cell's record of learning rates holds."""

    learning_rate: float
    rate_ratio: float = 1.0
    tried: list[dict[str, Any]]


class StudySeeds(Slice):
    """What a cell reads of the study."""

    seeds: Seeds = Field(description="every cell is trained once with each")


@dataclass(frozen=True)
class Cell:
    """A task, a strategy and a budget.

    Attributes:
        task: The task's name.
        strategy: The strategy's name.
        budget: The budget, spelt as in params.yaml.
    """

    task: str
    strategy: str
    budget: str

    def __post_init__(self) -> None:
        # The name becomes a path, which must not lead elsewhere.
        if not (
            re.fullmatch(r"\w+", self.task)
            and re.fullmatch(r"\w+", self.strategy)
            and re.fullmatch(r"[0-9]+(\.[0-9]+)?", self.budget)
        ):
            raise input_error(
                "no cell can have this name",
                where="--task, --strategy, --budget",
                got=self.name,
                expected="names of a task and a strategy in letters, digits and _, and a budget in "
                "plain digits, such as trec, uniform and 4",
                remedy="take them from study.tasks, study.strategies and study.budgets",
            )

    @property
    def name(self) -> str:
        """What its files are called: `trec/uniform-4`."""
        return cell_name(self.task, self.strategy, self.budget)

    @property
    def adapters(self) -> Path:
        """Where its adapters are, a folder a seed."""
        return Path("data/adapters") / self.name

    @property
    def plan(self) -> Path:
        """Where its plan is."""
        return PLANS / plan_name(self.strategy, self.budget) / f"{self.task}.json"

    @property
    def directions(self) -> Path:
        """Where the directions are that its factors begin along; no tensors for a drawn start."""
        return self.plan.with_suffix(".safetensors")

    @property
    def curves(self) -> Path:
        """Where its training curves are, a file a seed."""
        return Path("data/curves") / self.name

    def read_plan(self) -> RankPlan:
        """Read the cell's plan.

        Raises:
            InputError: No such plan, or one made for another model than data/model.
        """
        path = self.plan
        with within(str(path)):
            plan = RankPlan.from_json(read_json(path))
        if (plan.strategy, plan.budget) != (self.strategy, float(self.budget)):
            raise input_error(
                "the plan is another cell's",
                where=str(path),
                got=f"strategy {plan.strategy}, budget {plan.budget:g}",
                expected=f"strategy {self.strategy}, budget {self.budget}",
                remedy="delete it and run `dvc repro`, which plans again",
            )
        model = folder_sha256(MODEL)
        if plan.model_sha256 != model:
            raise input_error(
                "the plan was made for another model",
                where=str(path),
                got=f"model_sha256 {plan.model_sha256}",
                expected=f"{model}, the model in {MODEL}",
                remedy="`dvc repro` scores this model and plans again",
            )
        return plan

    def trained(self, seed: int) -> tuple[Path, Record]:
        """Find what was trained with a seed.

        Returns:
            Its folder, and the record that fine-tuning wrote of it.

        Raises:
            InputError: There is none.
        """
        folder = seed_folder(self.adapters, seed)
        path = folder / TRAINED
        if not path.exists():
            raise input_error(
                "nothing trained here",
                where=str(folder),
                got="no such file",
                expected=f"{TRAINED} and the weights it names",
                remedy="`dvc repro` trains every seed of study.seeds",
            )
        return folder, read_record(path, TrainedForm)

    def failure(self, seed: int) -> Record | None:
        """Read why a seed's training could not go on; None if it did."""
        path = seed_folder(self.adapters, seed) / FAILED
        return read_record(path, FailedForm) if path.exists() else None

    def rates(self) -> Record:
        """Read how its learning rate was chosen; InputError if that is not recorded."""
        return read_record(self.adapters / RATES, RatesForm)


def seed_folder(folder: Path, seed: int) -> Path:
    """Name a seed's place in a cell's folder of adapters."""
    return folder / f"seed-{seed}"
