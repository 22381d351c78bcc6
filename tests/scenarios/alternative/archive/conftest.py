"""Points of the alternative host go to all of its repositories, so their servers must run."""

from tests.scenarios.alternative.repositories.conftest import servers

__all__ = ["servers"]
