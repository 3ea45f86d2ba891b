"""Algebra of low-rank updates: s B A, without ever forming it."""
