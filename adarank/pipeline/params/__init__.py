"""The schema of params.yaml, a section a file."""
