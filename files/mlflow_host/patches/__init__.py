"""Patches of MLflow, and the registry of all of them."""
