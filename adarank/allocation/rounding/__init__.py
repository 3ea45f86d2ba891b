"""From weights to integer ranks under a budget."""
