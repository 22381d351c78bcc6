"""Find the first runs of a large experiment by a metric without reading all of them.

To order runs by a metric PostgreSQL looks up the metric of each run of the
experiment, and then returns a hundred. An index ordered by value
(``mlflow_host.database.indexes``) starts with the first runs of all experiments. The
first hundred of a large experiment are near its start; then MLflow's own statement is
limited to these. It still orders them.

The scan of the index continues while it has found a part of the page. The few runs of
a small experiment, or of a selective filter, may be anywhere in the index: there
MLflow's own statement is used.

Source: PostgreSQL, SELECT, "LIMIT Clause" (``FETCH FIRST … WITH TIES``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import aliased

# Values that are scanned first, and at most, before MLflow's own statement is used.
WALK, FURTHEST = 2_500, 80_000
# The cost of one run in MLflow's own statement, in scanned values.
VALUES_A_RUN = 2
# Maximum number of runs up to the end of the page.
MOST = 1_000

# The runs that a search of this thread is limited to; None: no limit.
limited_to: ContextVar[Sequence[str] | None] = ContextVar("limited_to", default=None)

COUNT = text(
    "SELECT count(*) FROM (SELECT FROM runs WHERE experiment_id = ANY(:experiments) LIMIT :enough) AS experiment"
)


@dataclass(frozen=True)
class Query:
    """The parameters of a search.

    Attributes:
        experiments: their IDs.
        stages: lifecycle stages of the runs.
        filters: from MLflow's parser.
        key: of the metric.
        ascending: whether the smallest value comes first.
        count: number of runs.
    """

    experiments: list[int]
    stages: list[str]
    filters: list[dict[str, Any]]
    key: str
    ascending: bool
    count: int


def first_runs(store: Any, wanted: Query) -> Sequence[str] | None:
    """IDs of runs that include the first ``wanted.count``; None if the index does not help.

    Args:
        store: MLflow's store on PostgreSQL.

    Raises:
        MlflowException: PostgreSQL is unavailable.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlRun
    from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses
    from sqlalchemy import select, true

    metric = aliased(SqlLatestMetric)
    order = metric.value.asc() if wanted.ascending else metric.value.desc()
    values = select(metric.value).where(metric.key == wanted.key, ~metric.is_nan).order_by(order)
    with store.ManagedSessionMaker() as session:
        # All parts of the scan must see the same snapshot, so that no run is missed.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        attributes, others, datasets = _get_sqlalchemy_filter_clauses(wanted.filters, session, store._get_dialect())
        # A run may have many datasets, and would be found several times.
        if datasets:
            return None
        run = select(SqlRun.run_uuid).where(
            SqlRun.run_uuid == metric.run_uuid,
            SqlRun.experiment_id.in_(wanted.experiments),
            SqlRun.lifecycle_stage.in_(wanted.stages),
            *attributes,
        )
        found = select(metric.run_uuid).where(metric.key == wanted.key, ~metric.is_nan)
        # The run first: an index alone shows whether it belongs to another experiment.
        for kept in (run, *(select(other.c.run_uuid).where(other.c.run_uuid == metric.run_uuid) for other in others)):
            # OFFSET 0 forces a lookup for each value. Otherwise PostgreSQL reads all matches of a filter in all
            # experiments, because it assumes that keys and values are independent.
            found = found.join(kept.offset(0).lateral(), true())
        found = found.order_by(order)
        runs: list[str] = []
        walked, walk = 0, WALK
        while walk <= FURTHEST:
            enough = walk // VALUES_A_RUN
            if session.execute(COUNT, {"experiments": wanted.experiments, "enough": enough}).scalar_one() < enough:
                return None
            end = session.execute(values.limit(1).offset(walk - walked)).scalar_one_or_none()
            if end is None:
                # MLflow stores infinity as the largest number, so this is beyond all values.
                end = math.inf if wanted.ascending else -math.inf
            # Strictly before the end: runs with the same value are found all together or not at all.
            near = found.where(metric.value < end if wanted.ascending else metric.value > end)
            runs += session.execute(near.fetch(wanted.count - len(runs), with_ties=True)).scalars()
            if len(runs) >= wanted.count:
                return runs
            if not runs or math.isinf(end):
                return None
            remaining = metric.value >= end if wanted.ascending else metric.value <= end
            values, found = values.where(remaining), found.where(remaining)
            # Somewhat further than the matches so far suggest.
            walked, walk = walk, 3 * walk * wanted.count // (2 * len(runs))
    return None


def limit_to_first_runs(original: Any) -> Any:
    """Wrap the search for runs so that it reads only the first runs where possible.

    Args:
        original: the method of MLflow's tracking store.
    """
    from mlflow.entities import LifecycleStage
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.search_utils import SearchUtils
    from mlflow.utils.validation import _parse_experiment_ids

    def candidates(self: Any, *arguments: Any) -> Sequence[str] | None:
        experiments, words, view, page_size, order, page_token = arguments
        # Subclasses add further conditions.
        if type(self) is not SqlAlchemyStore or self.db_type != "postgresql" or not order:
            return None
        if not page_size or not 0 < page_size < MOST:
            return None
        filters = SearchUtils.parse_search_filter(words)
        kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(order[0])
        count = SearchUtils.parse_start_offset_from_page_token(page_token) + page_size + 1
        if not SearchUtils.is_metric(kind, "=") or count > MOST:
            return None
        return first_runs(
            self,
            Query(
                experiments=list(_parse_experiment_ids(experiments)),
                stages=list(LifecycleStage.view_type_to_stages(view)),
                filters=filters,
                key=SearchUtils.translate_key_alias(key),
                ascending=ascending,
                count=count,
            ),
        )

    def search(self: Any, *arguments: Any) -> Any:
        runs = candidates(self, *arguments)
        if runs is not None:
            reset = limited_to.set(runs)
            try:
                page, token = original(self, *arguments)
            finally:
                limited_to.reset(reset)
            # A token means that there was one more run. Without it, runs may have changed meanwhile.
            if token:
                return page, token
        return original(self, *arguments)

    return search
