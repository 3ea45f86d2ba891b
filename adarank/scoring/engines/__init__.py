"""How disturbed outputs are computed without running the whole model."""
