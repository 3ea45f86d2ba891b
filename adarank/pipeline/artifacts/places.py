"""Where the study's artifacts lie, below the folder of dvc.yaml.

Of paths alone: a stage that needs to know a place depends on no code that reads or writes there.
"""

from pathlib import Path

MODEL = Path("data/model")
TASKS_FOLDER = Path("data/tasks")
SOURCES = Path("data/sources")
MODEL_SOURCE = SOURCES / "model.json"
TASK_SOURCES = SOURCES / "tasks"
SCORES = Path("data/scores")
PLANS = Path("data/plans")
SCORE_METRICS = Path("metrics/scores")
CONFUSION = Path("metrics/confusion")

OF_MODEL = "model"
"""In the place of a task's name below SCORES, for the signals that need no task."""
