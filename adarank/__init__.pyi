"""Types of the public names, which __init__.py loads when first used."""

from adarank.allocation.allocate import allocate as allocate
from adarank.allocation.directions import directions_of as directions_of
from adarank.allocation.plan import RankPlan as RankPlan
from adarank.allocation.scale import Scale as Scale
from adarank.errors import AdaRankError as AdaRankError
from adarank.errors import InputError as InputError
from adarank.errors import RunError as RunError
from adarank.models.modules import Module as Module
from adarank.models.modules import find_modules as find_modules
from adarank.models.norms import find_bias_norm as find_bias_norm
from adarank.ordering.estimator import SortNet as SortNet
from adarank.pipeline.merging.merge import merge as merge
from adarank.scoring.noise import Noise as Noise
from adarank.scoring.score import score as score
from adarank.scoring.signals.gradient_directions import gradient_directions as gradient_directions
from adarank.scoring.signals.input_directions import input_directions as input_directions
from adarank.tuning.starts.registry import set_start as set_start

__version__: str
