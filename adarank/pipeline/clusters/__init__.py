"""Cells on other machines: what travels, how it is named, and the clusters that run it."""
