"""Statistics, comparisons, caveats and verdicts."""
