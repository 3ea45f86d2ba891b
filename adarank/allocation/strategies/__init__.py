"""Strategies: a weight per module."""
