"""What of a transformer can be adapted: modules, stacks, kinds, loading."""
