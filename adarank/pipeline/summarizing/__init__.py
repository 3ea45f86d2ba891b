"""The study's summary from the records of its cells: comparisons, caveats, tables."""
