"""From scores to integer ranks: a weight per module, apportioned under a budget."""
