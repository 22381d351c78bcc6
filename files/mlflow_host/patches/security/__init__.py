"""Patches without which MLflow must not serve."""
