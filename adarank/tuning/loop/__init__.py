"""The training loop, its evaluation, schedules and checkpoints."""
