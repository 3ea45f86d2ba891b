"""The pipeline: one thin module per DVC stage, and what only stages need."""
