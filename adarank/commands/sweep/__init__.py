"""What a sweep consists of: DVC's graph, its commands side by side, their logs, what is shown."""
