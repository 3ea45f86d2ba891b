"""What stages and commands need of the world: parameters, sources, datasets, artifacts."""
