"""Estimators of a module's disagreement."""
