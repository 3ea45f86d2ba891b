"""Datasets: read from their source, judged row by row, divided."""
