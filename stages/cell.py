"""One cell of the study: its plan, checked against the model at hand, and its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from adarank.allocation.plan import RankPlan
from adarank.errors import input_error
from stages.checkpoint import MODEL
from stages.files import folder_sha256, read_json
from stages.params import Slice
from stages.study import Seeds, cell_name

Strategy = Annotated[str, typer.Option("--strategy", help="The cell's strategy.")]
Budget = Annotated[str, typer.Option("--budget", help="The cell's budget, as params.yaml has it.")]


TRAINED = "trained.json"
"""A seed's record: ranks as read back, parameters, learning rate."""

FAILED = "failed.json"
"""In place of the former: why a seed's training could not go on."""

RATES = "learning_rates.json"
"""A cell's learning rate, and what it was chosen from."""

Record = dict[str, Any]


class StudySeeds(Slice):
    """What a cell reads of the study."""

    seeds: Seeds = Field(description="every cell is trained once with each")


@dataclass(frozen=True)
class Cell:
    """A strategy at a budget.

    Attributes:
        strategy: The strategy's name.
        budget: The budget, spelt as in params.yaml.
    """

    strategy: str
    budget: str

    @property
    def name(self) -> str:
        """What its files and DVC stages are called."""
        return cell_name(self.strategy, self.budget)

    @property
    def adapters(self) -> Path:
        """Where its adapters are, a folder a seed."""
        return Path("data/adapters") / self.name

    @property
    def plan(self) -> Path:
        """Where its plan is."""
        return Path("data/plans") / f"{self.name}.json"

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
        plan = RankPlan.from_json(read_json(path))
        model = folder_sha256(MODEL)
        if plan.model_sha256 != model:
            raise input_error(
                "the plan was made for another model",
                where=str(path),
                got=f"model_sha256 {plan.model_sha256}",
                expected=f"{model}, the model in {MODEL}",
                remedy="`dvc repro` scores this model and plans anew",
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
                expected=f"{TRAINED} and the weights it tells of",
                remedy="`dvc repro` trains every seed of study.seeds",
            )
        return folder, read_json(path)

    def failure(self, seed: int) -> Record | None:
        """Read why a seed's training could not go on; None if it did."""
        path = seed_folder(self.adapters, seed) / FAILED
        return read_json(path) if path.exists() else None

    @property
    def rates(self) -> Path:
        """Where the choice of its learning rate is told."""
        return self.adapters / RATES


def seed_folder(folder: Path, seed: int) -> Path:
    """Name a seed's place in a cell's folder of adapters."""
    return folder / f"seed-{seed}"
