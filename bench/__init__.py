"""How fast it is, against stock MLflow and against what the machine can do: ``make bench``."""
