"""What a pull request changes in the study: its lock, its results, its parameters, its figures."""
