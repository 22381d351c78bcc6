"""A second instance, or an empty new one, is refused for each variable that would cause it."""

from __future__ import annotations

import pytest

from plugins.filter.instances import instance_problems

LINES = [
    "mlflow-db-init.service:User=mlflow",
    "mlflow-db-init.service:EnvironmentFile=/etc/mlflow/mlflow.env",
    "mlflow-db-init.service:ReadWritePaths=/var/lib/mlflow/artifacts",
    "/etc/mlflow/pg_service.conf:dbname=mlflow",
]
SAME = {"unit": "mlflow", "config": "/etc/mlflow", "volume": "/var/lib/mlflow/artifacts", "database": "mlflow"}
OTHER = {"unit": "mlflow2", "config": "/etc/mlflow2", "volume": "/srv/two", "database": "two"}


@pytest.mark.parametrize("part", ["unit", "config", "volume", "database"])
def test_one_other_name_is_enough(part: str) -> None:
    """The message has the wanted name, the existing one, and the fix."""
    (problem,) = instance_problems(LINES, "host", SAME | {part: OTHER[part]}, [])
    assert f"'{OTHER[part]}'" in problem
    assert f"'{SAME[part]}'" in problem
    assert "another host" in problem


def test_unique_names_do_not_avoid_the_limit() -> None:
    """nginx, PostgreSQL and mlflowctl are still shared."""
    (problem,) = instance_problems(LINES, "host", OTHER, ["config", "volume", "database"])
    assert "playbooks/uninstall.yml -e mlflow_unit=mlflow." in problem


def test_the_same_and_what_was_moved_pass() -> None:
    """Data at the wanted paths, and a bare host."""
    assert instance_problems(LINES, "host", SAME, []) == []
    assert instance_problems(LINES, "host", SAME | {"volume": "/srv/two"}, ["volume"]) == []
    assert instance_problems([], "host", OTHER, []) == []
