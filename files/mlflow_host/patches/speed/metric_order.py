"""Find the first runs of a large experiment by a metric without looking at all of them.

To order runs by a metric PostgreSQL looks up the metric of each run of the
experiment, and then takes a hundred. An index in the order of values
(``mlflow_host.database.indexes``) begins with the first ones, of all experiments. A large
experiment has its first hundred near that beginning; then MLflow's own statement
is told to look at these only. It still decides on their order.

A walk along that order that has found a part of the page goes on. The few runs of a
small experiment may be anywhere in it, and so may what a filter keeps, if it keeps
few: there MLflow asks as ever.

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

# Values that are looked at first, and at most, before MLflow's own way is taken.
WALK, FURTHEST = 2_500, 80_000
# MLflow looks at each run of the experiment, which costs as much as this many values.
VALUES_A_RUN = 2
# Runs up to the end of the page.
MOST = 1_000

# The only runs that a search of this thread may find; None is all.
only: ContextVar[Sequence[str] | None] = ContextVar("only", default=None)

COUNT = text(
    "SELECT count(*) FROM (SELECT FROM runs WHERE experiment_id = ANY(:experiments) LIMIT :enough) AS experiment"
)


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        experiments: their IDs.
        stages: lifecycle stages of the runs.
        filters: as MLflow's parser gives them.
        key: the metric's.
        ascending: whether the smallest value is the first.
        count: number of runs.
    """

    experiments: list[int]
    stages: list[str]
    filters: list[dict[str, Any]]
    key: str
    ascending: bool
    count: int


def first_runs(store: Any, wanted: Wanted) -> Sequence[str] | None:
    """IDs of runs among which are the first ``wanted.count``; None if they are not found so.

    Args:
        store: MLflow's, on PostgreSQL.

    Raises:
        MlflowException: PostgreSQL is away.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlRun
    from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses
    from sqlalchemy import select, true

    metric = aliased(SqlLatestMetric)
    order = metric.value.asc() if wanted.ascending else metric.value.desc()
    values = select(metric.value).where(metric.key == wanted.key, ~metric.is_nan).order_by(order)
    with store.ManagedSessionMaker() as session:
        # All parts of the walk see the same values, and none is passed by that changes meanwhile.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        attributes, others, datasets = _get_sqlalchemy_filter_clauses(wanted.filters, session, store._get_dialect())
        # A run may have many datasets, and would be found as often.
        if datasets:
            return None
        run = select(SqlRun.run_uuid).where(
            SqlRun.run_uuid == metric.run_uuid,
            SqlRun.experiment_id.in_(wanted.experiments),
            SqlRun.lifecycle_stage.in_(wanted.stages),
            *attributes,
        )
        found = select(metric.run_uuid).where(metric.key == wanted.key, ~metric.is_nan)
        # The run first: that it is of another experiment is known by an index alone.
        for kept in (run, *(select(other.c.run_uuid).where(other.c.run_uuid == metric.run_uuid) for other in others)):
            # OFFSET 0: to be looked up for each value. PostgreSQL would rather read all that a filter keeps, on the
            # whole site, for it takes a key and its value for independent of each other.
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
                # Infinity is stored as the greatest number: this is beyond all.
                end = math.inf if wanted.ascending else -math.inf
            # Strictly before the end: runs with one value are found all, or not at all.
            near = found.where(metric.value < end if wanted.ascending else metric.value > end)
            runs += session.execute(near.fetch(wanted.count - len(runs), with_ties=True)).scalars()
            if len(runs) >= wanted.count:
                return runs
            if not runs or math.isinf(end):
                return None
            beyond = metric.value >= end if wanted.ascending else metric.value <= end
            values, found = values.where(beyond), found.where(beyond)
            # Somewhat further than this lets expect.
            walked, walk = walk, 3 * walk * wanted.count // (2 * len(runs))
    return None


def looking_at_few(original: Any) -> Any:
    """What searches for runs as ``original`` does.

    Args:
        original: the method of MLflow's tracking store.
    """
    from mlflow.entities import LifecycleStage
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.search_utils import SearchUtils
    from mlflow.utils.validation import _parse_experiment_ids

    def few(self: Any, *asked: Any) -> Sequence[str] | None:
        experiments, words, view, page_size, order, page_token = asked
        # Subclasses ask for more than the experiments' IDs.
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
            Wanted(
                experiments=list(_parse_experiment_ids(experiments)),
                stages=list(LifecycleStage.view_type_to_stages(view)),
                filters=filters,
                key=SearchUtils.translate_key_alias(key),
                ascending=ascending,
                count=count,
            ),
        )

    def search(self: Any, *asked: Any) -> Any:
        runs = few(self, *asked)
        if runs is not None:
            reset = only.set(runs)
            try:
                page, token = original(self, *asked)
            finally:
                only.reset(reset)
            # There was one run more. If it has gone meanwhile, so may the next one have come.
            if token:
                return page, token
        return original(self, *asked)

    return search
