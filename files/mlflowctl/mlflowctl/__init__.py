"""The operator's tool of a host that serves MLflow: recovery points, access, maintenance, upgrades."""

# The project's: CONTRIBUTING.md says how a release is made.
__version__ = "0.1.0"
