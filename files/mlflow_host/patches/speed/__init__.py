"""Patches that make MLflow faster, and that it can do without."""
