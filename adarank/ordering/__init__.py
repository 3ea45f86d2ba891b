"""SortNet: a learned comparator, sorting by it, and ranking metrics."""
