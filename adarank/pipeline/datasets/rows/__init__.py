"""Rows judged and brought into the form of their kind of task."""
