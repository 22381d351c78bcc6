"""Benchmarks against stock MLflow and against the limits of the machine: ``make bench``."""
