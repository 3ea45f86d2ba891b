"""Benchmarks: ratios measured side by side in one run. Run from the project's root."""
