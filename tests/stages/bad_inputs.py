"""The table of bad inputs, over all stages and the command line."""

from tests.stages import (
    bad_artifacts,
    bad_keys,
    bad_lines,
    bad_models,
    bad_params,
    bad_results,
    bad_tables,
)
from tests.stages.spoil import Case

_PARTS = (bad_params, bad_keys, bad_models, bad_tables, bad_lines, bad_artifacts, bad_results)

CASES: list[Case] = [case for part in _PARTS for case in part.CASES]
