"""Merging that is learned on unlabelled rows: coefficients and masks per singular component."""
