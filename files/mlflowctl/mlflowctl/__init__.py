"""Operations on a host that serves MLflow: take, check, rehearse and restore recovery points."""

# The project's: CONTRIBUTING.md says how a release is made.
__version__ = "0.1.0"
