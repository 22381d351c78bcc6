"""Code that the role of MLflow's database plants in it only runs with that role's rights, in every operation of mlflowctl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# Each way by which the owner's code runs in another role's session: a view in place of a
# table, a check of a row that a restore copies, an index that ANALYZE evaluates, a function that is found
# before the system's own.
PLANT = r"""
CREATE FUNCTION public.planted() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
    RAISE WARNING 'planted runs as %, session %', current_user, session_user;
    BEGIN
        EXECUTE 'SET ROLE postgres';
        RAISE WARNING 'planted runs as %, by a role that was set', current_user;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        COPY (SELECT 1) TO PROGRAM 'id >> /tmp/planted';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN 'planted';
END $f$;
CREATE FUNCTION public.planted_check(x int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    $f$ BEGIN PERFORM public.planted(); RETURN true; END $f$;
CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS $f$ SELECT length(public.planted())::bigint $f$;
CREATE TABLE public.planted_rows (x int CHECK (public.planted_check(x)));
INSERT INTO public.planted_rows VALUES (1);
CREATE INDEX planted_index ON public.planted_rows (public.planted_check(x));
ALTER TABLE public.trace_tags RENAME TO trace_tags_kept;
CREATE VIEW public.trace_tags AS SELECT * FROM public.trace_tags_kept
    UNION ALL SELECT 'mlflow.artifactLocation', public.planted(), 'planted';
ALTER DATABASE mlflow SET search_path = planted, public;
ALTER ROLE mlflow SET search_path = planted, public;
"""
PULL_UP = """
ALTER ROLE mlflow RESET search_path;
ALTER DATABASE mlflow RESET search_path;
DROP VIEW public.trace_tags;
ALTER TABLE public.trace_tags_kept RENAME TO trace_tags;
DROP TABLE public.planted_rows;
DROP FUNCTION public.count(text);
DROP FUNCTION public.planted_check(int);
DROP FUNCTION public.planted();
"""
# Every operation that reads, copies or fills a database of MLflow.
OPERATIONS = (
    "backup",
    "verify",
    "drill",
    "gc --older-than 9000d --dry-run",
    "orphans list",
    "orphans quarantine --older-than 9000d",
    "restore latest --database-only --replace-live",
)
LOG = "cat /var/log/postgresql/*.log"


def as_mlflow(host: Any, statements: str) -> None:
    """Run statements as an attacker who controls MLflow: with the service's user and role."""
    host.check_output(
        "runuser -u mlflow -- psql -q -v ON_ERROR_STOP=1 -U mlflow mlflow -c %s", f"BEGIN; {statements}; COMMIT"
    )


@pytest.fixture
def planted(host: Any) -> Iterator[None]:
    """The payloads are in place, and PostgreSQL logs which role connects to which database."""
    for setting in ("SET log_connections = on", "SET log_min_messages = warning"):
        host.check_output("psql -U postgres -qc %s", f"ALTER SYSTEM {setting}")
    host.check_output("psql -U postgres -qc 'SELECT pg_reload_conf()' && sleep 1 && rm -f /tmp/planted")
    as_mlflow(host, PLANT)
    yield
    as_mlflow(host, PULL_UP)
    for setting in ("RESET log_connections", "RESET log_min_messages"):
        host.check_output("psql -U postgres -qc %s", f"ALTER SYSTEM {setting}")
    host.check_output("psql -U postgres -qc 'SELECT pg_reload_conf()'; rm -f /tmp/planted")


def test_nothing_planted_runs_with_more_than_the_roles_rights(control: Any, host: Any, planted: None) -> None:
    """The superuser never connects to a database of MLflow, so no code in it runs as the superuser."""
    begun = len(host.check_output(LOG))
    aside = ""
    for operation in OPERATIONS:
        # A row of the view refers to missing files: broken at source, for which verify exits with 1.
        done = control.run(operation, expect=1 if operation == "verify" else 0)
        aside = done.get("put_aside") or aside
        assert not host.file("/tmp/planted").exists, operation
    control.run(f"leftovers delete {aside}")
    message = host.check_output(LOG)[begun:].splitlines()
    ran = {line.partition("planted runs as ")[2] for line in message if "WARNING:  planted runs as" in line}
    assert ran == {"mlflow, session mlflow"}
    entered = [line for line in message if "connection authorized" in line and "user=postgres" in line]
    assert entered
    assert not [line for line in entered if "database=postgres" not in line]
    # The role's own sessions did the work: in the live database and in both kinds of copy.
    for name in ("mlflow", "mlflow_drill", "mlflow_restore"):
        assert [
            line for line in message if "connection authorized: user=mlflow" in line and f"database={name} " in line
        ], name
