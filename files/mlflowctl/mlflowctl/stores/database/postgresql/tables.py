"""What MLflow's tables say, in PostgreSQL's SQL.

MLflow writes a strong reference only after the files: READY logged models and
model versions, archived traces. If such files are missing, data is lost. The
row of a run, on the other hand, is written before its files, so a run without
files is normal.

Sources: ``mlflow/store/tracking/dbmodels/models.py``,
``mlflow/store/model_registry/dbmodels/models.py``,
``mlflow/tracing/constant.py`` (``TraceTagKey``) of MLflow 3.17.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from mlflowctl.stores.database.base import Locations, Need, Reader, Removal, Row
from mlflowctl.stores.references import ANYTHING

# Experiments first: there are few, and everything in one is removed with it. Its traces are separate rows.
REMOVALS = """
    SELECT 1, 'experiment', experiment_id::text, name, experiment_id::text, name FROM experiments
     WHERE experiment_id = ANY(%(experiments)s::int[])
    UNION ALL
    SELECT 2, 'run', r.run_uuid, r.name, e.experiment_id::text, e.name
      FROM runs r LEFT JOIN experiments e USING (experiment_id) WHERE r.run_uuid = ANY(%(runs)s::text[])
    UNION ALL
    SELECT 3, 'logged_model', m.model_id, m.name, e.experiment_id::text, e.name
      FROM logged_models m LEFT JOIN experiments e USING (experiment_id) WHERE m.model_id = ANY(%(models)s::text[])
    UNION ALL
    SELECT 4, 'trace', t.request_id, NULL, e.experiment_id::text, e.name
      FROM trace_info t JOIN experiments e USING (experiment_id) WHERE t.experiment_id = ANY(%(experiments)s::int[])
"""


class Tables(Reader):
    """Questions over one connection; :class:`Reader` explains each."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def _all(self, query: str, values: Any = None) -> list[Any]:
        return self._connection.execute(query, values).fetchall()

    def revision(self) -> str:
        found = self._connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
        if not found or found[0] is None:
            return ""
        row = self._connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
        return str(row[0]) if row else ""

    def rows(self) -> dict[str, int]:
        names = [row[0] for row in self._all("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
        counts = {}
        for name in names:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", name))
            row = self._connection.execute(query).fetchone()
            counts[name] = int(row[0]) if row else 0
        return counts

    def content(self) -> int:
        row = self._connection.execute(
            "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM registered_models)"
            " + (SELECT count(*) FROM trace_info) + (SELECT count(*) FROM experiments WHERE experiment_id <> 0)"
        ).fetchone()
        return int(row[0]) if row else 0

    def locations(self) -> Locations:
        return Locations(
            dict(self._all("SELECT model_id, artifact_location FROM logged_models")),
            dict(self._all("SELECT run_uuid, artifact_uri FROM runs WHERE artifact_uri IS NOT NULL")),
            {
                (name, str(version)): location or source or ""
                for name, version, location, source in self._all(
                    "SELECT name, version, storage_location, source FROM model_versions"
                )
            },
        )

    def needs(self) -> Iterator[Need]:
        # LoggedModelStatus.READY is 2 in the database.
        for name, uri in self._all(
            "SELECT model_id, artifact_location FROM logged_models m WHERE status = 2 AND lifecycle_stage = 'active'"
            " AND NOT EXISTS (SELECT 1 FROM logged_model_tags t WHERE t.model_id = m.model_id"
            "                 AND t.tag_key = 'mlflow.model.isExternal') ORDER BY 1"
        ):
            yield Need("logged_model", name, uri, "MLmodel")
        for name, version, location, source in self._all(
            "SELECT name, version, storage_location, source FROM model_versions v"
            " WHERE status = 'READY' AND current_stage <> 'Deleted_Internal'"
            " AND coalesce(source, '') NOT IN ('dummy-source', 'prompt-template')"
            " AND NOT EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace AND t.name = v.name"
            "                 AND t.version = v.version AND t.key = 'mlflow.prompt.is_prompt') ORDER BY 1, 2"
        ):
            yield Need("model_version", f"{name}/{version}", location or source, ANYTHING)
        for name, uri in self._all(
            "SELECT l.request_id, a.value FROM trace_tags l JOIN trace_tags a USING (request_id)"
            " WHERE l.key = 'mlflow.trace.spansLocation' AND l.value = 'ARCHIVE_REPO'"
            " AND a.key = 'mlflow.trace.archiveLocation' ORDER BY 1"
        ):
            yield Need("trace", name, uri, "traces.pb")
        # Traces of MLflow 2, whose spans were never in the database.
        for name, uri in self._all(
            "SELECT a.request_id, a.value FROM trace_tags a WHERE a.key = 'mlflow.artifactLocation'"
            " AND NOT EXISTS (SELECT 1 FROM trace_tags l WHERE l.request_id = a.request_id"
            "                 AND l.key = 'mlflow.trace.spansLocation' AND l.value <> 'ARTIFACT_REPO')"
            " AND NOT EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = a.request_id) ORDER BY 1"
        ):
            yield Need("trace", name, uri, "traces.json")

    def uris(self) -> Iterator[str | None]:
        rows = self._all(
            "SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM logged_models"
            " UNION SELECT coalesce(storage_location, source) FROM model_versions"
            " UNION SELECT value FROM trace_tags WHERE key IN"
            " ('mlflow.artifactLocation', 'mlflow.trace.archiveLocation')"
        )
        yield from (uri for (uri,) in rows)

    def deleted(self, before_ms: int) -> list[Row]:
        rows = self._all(
            "SELECT 'run', run_uuid, artifact_uri FROM runs"
            " WHERE lifecycle_stage = 'deleted' AND deleted_time < %(before)s"
            " UNION ALL SELECT 'logged_model', model_id, artifact_location FROM logged_models"
            " WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms < %(before)s ORDER BY 1, 2",
            {"before": before_ms},
        )
        return [Row(*row) for row in rows]

    def owners(self) -> Iterator[Row]:
        # There may be millions of traces: a server-side cursor fetches them in portions.
        with self._connection.cursor("others") as cursor:
            cursor.execute(
                "SELECT 'run', run_uuid, artifact_uri FROM runs UNION ALL"
                " SELECT 'logged_model', model_id, artifact_location FROM logged_models UNION ALL"
                " SELECT 'experiment', experiment_id::text, artifact_location FROM experiments"
                " WHERE lifecycle_stage = 'active' UNION ALL"
                " SELECT 'trace', request_id, value FROM trace_tags WHERE key = 'mlflow.artifactLocation'"
            )
            for row in cursor:
                yield Row(*row)

    def emptied(self, runs: Sequence[str], models: Sequence[str]) -> list[str]:
        rows = self._all(
            "SELECT experiment_id::text FROM experiments e WHERE lifecycle_stage = 'deleted'"
            " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.experiment_id = e.experiment_id"
            "                 AND NOT r.run_uuid = ANY(%s::text[]))"
            " AND NOT EXISTS (SELECT 1 FROM logged_models m WHERE m.experiment_id = e.experiment_id"
            "                 AND NOT m.model_id = ANY(%s::text[])) ORDER BY 1",
            (list(runs), list(models)),
        )
        return [name for (name,) in rows]

    def traces(self, experiments: Sequence[str]) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM trace_info WHERE experiment_id = ANY(%(experiments)s::int[])",
            {"experiments": [int(name) for name in experiments]},
        ).fetchone()
        return int(row[0]) if row else 0

    def removals(
        self, experiments: Sequence[str], runs: Sequence[str], models: Sequence[str], limit: int
    ) -> list[Removal]:
        wanted = {"experiments": [int(name) for name in experiments], "runs": list(runs), "models": list(models)}
        rows = self._all(f"{REMOVALS} ORDER BY 1, 5, 3 LIMIT {int(limit)}", wanted)
        return [Removal(*row[1:]) for row in rows]

    def run_location(self, run: str) -> list[str | None]:
        return [uri for (uri,) in self._all("SELECT artifact_uri FROM runs WHERE run_uuid = %s", (run,))]

    def model_location(self, model: str) -> list[str | None]:
        rows = self._all("SELECT artifact_location FROM logged_models WHERE model_id = %s", (model,))
        return [uri for (uri,) in rows]

    def version_location(self, name: str, version: str) -> list[str | None]:
        rows = self._all(
            "SELECT coalesce(storage_location, source) FROM model_versions WHERE name = %s AND version::text = %s",
            (name, version),
        )
        return [uri for (uri,) in rows]

    def ready_versions(self) -> list[tuple[str, str]]:
        rows = self._all(
            "SELECT name, version FROM model_versions WHERE status = 'READY' AND current_stage <> 'Deleted_Internal'"
            " ORDER BY creation_time DESC, name, version DESC"
        )
        return [(name, str(version)) for name, version in rows]
