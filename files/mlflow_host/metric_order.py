"""Find the first runs of a large experiment by a metric without looking at all of them.

To order runs by a metric PostgreSQL looks up the metric of each run of the
experiment, and then takes a hundred. An index in the order of values
(``mlflow_host.indexes``) begins with the first ones, of all experiments. A large
experiment has its first hundred near that beginning; then MLflow's own statement
is told to look at these only. It still decides on their order.

The few runs of a small experiment may be anywhere in that order, and what a
filter keeps as well: there MLflow asks as ever.

Source: PostgreSQL, SELECT, "LIMIT Clause" (``FETCH FIRST … WITH TIES``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

# Runs in an experiment from which on this way is the shorter one.
LARGE = 5_000
# Values that are looked at before MLflow's own way is taken after all.
WALK = 10_000
# Runs up to the end of the page.
MOST = 1_000

# The only runs that a search of this thread may find; None is all.
only: ContextVar[Sequence[str] | None] = ContextVar("only", default=None)

COUNT = text(
    "SELECT count(*) FROM (SELECT FROM runs WHERE experiment_id = ANY(:experiments) LIMIT :large) AS experiment"
)
END = "SELECT value FROM latest_metrics WHERE key = :key AND NOT is_nan ORDER BY value {order} LIMIT 1 OFFSET :walk"
# Strictly before the value at which the walk ends: runs with one value are found all, or not at all.
FIRST = """
SELECT m.run_uuid
FROM latest_metrics AS m JOIN runs AS r ON r.run_uuid = m.run_uuid
WHERE m.key = :key AND NOT m.is_nan AND m.value {before} :end
    AND r.experiment_id = ANY(:experiments) AND r.lifecycle_stage = ANY(:stages)
ORDER BY m.value {order} FETCH FIRST :wanted ROWS WITH TIES
"""


class Direction(NamedTuple):
    """The statements for one order. Infinity is stored as the greatest number, so ``beyond`` is beyond all."""

    end: TextClause
    first: TextClause
    beyond: float


ASCENDING, DESCENDING = (
    Direction(text(END.format(order=order)), text(FIRST.format(order=order, before=before)), beyond)
    for order, before, beyond in (("ASC", "<", math.inf), ("DESC", ">", -math.inf))
)


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        experiments: their IDs.
        stages: lifecycle stages of the runs.
        key: the metric's.
        ascending: whether the smallest value is the first.
        count: number of runs.
    """

    experiments: list[int]
    stages: list[str]
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
    direction = ASCENDING if wanted.ascending else DESCENDING
    of = {"experiments": wanted.experiments, "stages": wanted.stages, "key": wanted.key, "wanted": wanted.count}
    with store.ManagedSessionMaker() as session:
        if session.execute(COUNT, {"experiments": wanted.experiments, "large": LARGE}).scalar_one() < LARGE:
            return None
        end = session.execute(direction.end, {"key": wanted.key, "walk": WALK}).scalar_one_or_none()
        of["end"] = direction.beyond if end is None else end
        found: Sequence[str] = session.execute(direction.first, of).scalars().all()
    return found if len(found) >= wanted.count else None


def looking_at_few(original: Any, store: type[Any], utils: Any, parse_experiments: Any, stages: Any) -> Any:
    """What searches for runs as ``original`` does.

    Args:
        original: MLflow's method.
        store: the class that it belongs to. Subclasses ask for more than the experiments' IDs.
        utils: MLflow's ``SearchUtils``.
        parse_experiments: MLflow's function from what was asked for to numbers.
        stages: MLflow's function from a view to lifecycle stages.
    """

    def few(self: Any, *asked: Any) -> Sequence[str] | None:
        experiments, words, view, page_size, order, page_token = asked
        if type(self) is not store or self.db_type != "postgresql" or words or not order:
            return None
        if not page_size or not 0 < page_size < MOST:
            return None
        kind, key, ascending = utils.parse_order_by_for_search_runs(order[0])
        count = utils.parse_start_offset_from_page_token(page_token) + page_size + 1
        if not utils.is_metric(kind, "=") or count > MOST:
            return None
        key = utils.translate_key_alias(key)
        return first_runs(self, Wanted(list(parse_experiments(experiments)), list(stages(view)), key, ascending, count))

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
