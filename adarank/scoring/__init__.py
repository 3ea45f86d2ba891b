"""How much a model's output moves when one module is disturbed."""
