"""Kinds of problem: what a batch is, which head, which metrics; one file a task."""
