"""Patches that make MLflow faster; it also works without them."""
