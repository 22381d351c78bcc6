"""Find the runs with a parameter or a tag by an index.

MLflow has no index on values, so a search for ``params.seed = '7'`` reads this
parameter of each run of the experiment. A value may have 8,000 characters, and
PostgreSQL indexes at most 2,700 bytes, so only a prefix of each value is indexed
(``mlflow_host.database.indexes``), and the search compares prefixes first. For a value
shorter than the prefix that is enough.

Source: PostgreSQL, "Indexes on Expressions", and the size of a B-tree entry.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from mlflow_host.core.known import SPEED, Patch
from mlflow_host.database.indexes import PREFIX

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


def compare_by_prefix(
    original: Callable[[str, str], Compare], tables: Collection[type[Any]]
) -> Callable[[str, str], Compare]:
    """Wrap the choice of a comparison: values of these tables are compared by their prefix first.

    Args:
        original: MLflow's function of a comparator and a dialect.
        tables: SQLAlchemy classes with a column ``value``.
    """
    import sqlalchemy

    def choose(comparator: str, dialect: str) -> Compare:
        compare = original(comparator, dialect)
        if comparator != "=" or dialect != "postgresql":
            return compare

        def equal(column: Any, value: Any) -> Any:
            if getattr(column, "class_", None) not in tables or column.key != "value" or not isinstance(value, str):
                return compare(column, value)
            prefix = sqlalchemy.func.left(column, PREFIX) == value[:PREFIX]
            return prefix if len(value) < PREFIX else sqlalchemy.and_(prefix, compare(column, value))

        return equal

    return choose


def apply() -> None:
    """Replace the comparison in MLflow's searches."""
    from mlflow.store.tracking.dbmodels.models import SqlParam, SqlTag
    from mlflow.utils.search_utils import SearchUtils

    compare = compare_by_prefix(SearchUtils.get_sql_comparison_func, {SqlParam, SqlTag})
    SearchUtils.get_sql_comparison_func = staticmethod(compare)
