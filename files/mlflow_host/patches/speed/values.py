"""Let PostgreSQL find the runs with a parameter or a tag by an index.

MLflow has no index on values, so a search for ``params.seed = '7'`` looks at
this parameter of each run of the experiment. A value may have 8,000
characters, and PostgreSQL indexes 2,700 bytes at most, so only the start of each value is
indexed (``mlflow_host.database.indexes``), and the start is what is asked for. A value that is
shorter than such a start is the start.

Source: PostgreSQL, "Indexes on Expressions", and the size of a B-tree entry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from mlflow_host.core.known import SPEED, Patch
from mlflow_host.database.indexes import START

PATCH = Patch(
    name="values",
    kind=SPEED,
    why="finds the runs with a parameter or a tag by an index",
    test="tests/host/test_searches.py",
    replaces=("mlflow.utils.search_utils:SearchUtils.get_sql_comparison_func",),
    needs=(
        "mlflow.store.tracking.dbmodels.models:SqlParam.value",
        "mlflow.store.tracking.dbmodels.models:SqlTag.value",
    ),
    known={"3.17.2": "fc85eb2277bef52ba3eeca4cb89ee1def64a3fde9fbf509eeb8756602b14326d"},
)

Compare = Callable[[Any, Any], Any]


def by_start(original: Callable[[str, str], Compare], tables: Collection[type[Any]]) -> Callable[[str, str], Compare]:
    """What compares as ``original`` does; the values of these tables by their start first.

    Args:
        original: MLflow's function of a comparator and a database's kind.
        tables: SQLAlchemy's classes, with a column ``value``.
    """
    import sqlalchemy

    def choose(comparator: str, dialect: str) -> Compare:
        compare = original(comparator, dialect)
        if comparator != "=" or dialect != "postgresql":
            return compare

        def equal(column: Any, value: Any) -> Any:
            if getattr(column, "class_", None) not in tables or column.key != "value" or not isinstance(value, str):
                return compare(column, value)
            start = sqlalchemy.func.left(column, START) == value[:START]
            return start if len(value) < START else sqlalchemy.and_(start, compare(column, value))

        return equal

    return choose


def apply() -> None:
    """Let MLflow's searches compare this way."""
    from mlflow.store.tracking.dbmodels.models import SqlParam, SqlTag
    from mlflow.utils.search_utils import SearchUtils

    compare = by_start(SearchUtils.get_sql_comparison_func, {SqlParam, SqlTag})
    SearchUtils.get_sql_comparison_func = staticmethod(compare)
