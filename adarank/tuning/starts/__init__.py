"""Ways in which an adapter's factors begin, a pure function each."""
