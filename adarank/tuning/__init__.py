"""Adapters with a plan's ranks: built, verified, trained, saved."""
