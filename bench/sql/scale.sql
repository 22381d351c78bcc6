-- Fill MLflow's tables as its own clients would.
-- Variables: first_experiment, experiments, first_run, runs (numbers, the ends
-- excluded), largest (ID of the experiment that gets every tenth run). IDs are
-- far above those that MLflow itself uses.
BEGIN;
-- Every row's run and experiment is created here, so foreign keys need not be checked for 30 million rows.
SET LOCAL session_replication_role = replica;

INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
SELECT :largest + i, 'scale-' || i, 'mlflow-artifacts:/scale', 'active', 1790000000000 + i, 1790000000000 + i
FROM generate_series(:first_experiment, :experiments - 1) AS i;

CREATE TEMPORARY TABLE new_run AS
SELECT n, md5('scale-' || n) AS id,
    :largest + CASE WHEN n % 10 = 0 THEN 0
                    ELSE greatest(1, :first_experiment) + n / 10 % (:experiments - greatest(1, :first_experiment)) END AS experiment
FROM generate_series(:first_run, :runs - 1) AS n;

INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
    source_version, lifecycle_stage, artifact_uri, experiment_id)
SELECT id, 'run-' || n, 'LOCAL', 'train.py', '', 'user-' || n % 20, 'FINISHED', 1790000000000 + 1000 * n,
    1790000060000 + 1000 * n, '', 'active', 'mlflow-artifacts:/scale/' || id || '/artifacts', experiment
FROM new_run;

INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
SELECT k.key, random(), 1790000000000 + 1000 * n + s, id, s, false
FROM new_run, (VALUES ('loss'), ('accuracy'), ('f1'), ('seconds')) AS k (key), generate_series(0, 4) AS s;

INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT k.key, random(), 1790000000004 + 1000 * n, 4, false, id
FROM new_run, (VALUES ('loss'), ('accuracy'), ('f1'), ('seconds')) AS k (key);

-- One that many runs share; one that is different for each run; one that is different for each experiment.
INSERT INTO params (key, value, run_uuid)
SELECT p.key, p.value, id
FROM new_run, LATERAL (VALUES ('layers', (('x' || substr(id, 1, 4))::bit(16)::integer % 10)::text), ('seed', n::text),
    ('data', 'data-' || experiment), ('optimizer', 'adam'), ('batch', '64')) AS p (key, value);

INSERT INTO tags (key, value, run_uuid)
SELECT t.key, t.value, id
FROM new_run, (VALUES ('mlflow.user', 'someone'), ('mlflow.source.name', 'train.py'), ('mlflow.source.type', 'LOCAL'),
    ('mlflow.runName', 'run')) AS t (key, value);

COMMIT;
-- As autovacuum would do within minutes, in one process.
VACUUM (ANALYZE, PARALLEL 0);
