"""Points of the alternative host go to all of its repositories, so their servers must run."""

from tests.repositories.conftest import servers

__all__ = ["servers"]
