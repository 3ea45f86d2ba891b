"""Comparisons across the tasks of a study."""
