"""Rows that only a hostile client writes: invalid locations. No recovery point and no operation fails because of them."""

from __future__ import annotations

import uuid

from tests.abuse.found import Attack
from tests.abuse.target import REST

# Refused or written: both are right as long as points can be taken afterwards. MLflow itself fails on some (500).
RIGHT = {"200", "400", "403", "404", "500"}
PREFIX = "abuse-"


def _junk(attack: Attack) -> str:
    """Parts that may follow a location's scheme, and invalid ones."""
    rng = attack.rng
    return rng.choice(
        [
            rng.choice("abcxyz") * rng.choice([255, 256, 301, 460]),
            "/".join(attack.word(3) for _ in range(rng.randrange(40, 110))),
            rng.choice(["[", "]", "[::1", "[v1.x]", "[]", "[fe80::1%25eth0]", "a]b[c"]),
            "%" + rng.choice(["", "0", "zz", "00", "2e%2e", "ff", "c0%af", "25252e"]),
            chr(rng.choice([1, 7, 9, 10, 13, 27, 127, 133, 0x2028, 0x202E, 0xFEFF, 0xFFFD])) + attack.word(4),
            "\u2100@" + attack.word(4),
            ":" + rng.choice(["99999", "-1", "x", ""]) + "/" + attack.word(4),
            "/" + rng.choice([".", "..", "...", "a/../../b", ".artifact.uploading.q", "\\..\\x"]),
            "\U0001f600" * 60,
            "?" + attack.word(3) + "#" + attack.word(3),
        ]
    )


def address(attack: Attack) -> str:
    """A location with any scheme."""
    schemes = ["mlflow-artifacts:/", "mlflow-artifacts://", "models:/", "models:/m-", "runs:/", "file://", "file:", ""]
    schemes += [
        "http://",
        "https://",
        "s3://",
        "gs://",
        "dbfs:/",
        "//",
        "/",
        "data:",
        "mailto:",
        f"{attack.word(3)}+x:",
    ]
    return attack.rng.choice(schemes) + _junk(attack)


def addresses(attack: Attack) -> None:
    """Sources of model versions, tags of traces, locations of experiments with a model that is ready."""
    target, found, rng = attack.target, attack.found, attack.rng
    api = target.url + REST
    version = target.url + "/api/3.0/mlflow"
    run = target.run()
    model = PREFIX + attack.word()
    with target.session("editor") as http:
        http.post(f"{api}/registered-models/create", json={"name": model}, timeout=60)
        # A valid one before the invalid part, and one that is much too long as a name.
        sources = [f"mlflow-artifacts:/0/{run}/artifacts/" + "b" * rng.choice([256, 280, 350])]
        while attack.has_time():
            sources.append(address(attack))
            body = {"name": model, "source": sources.pop(0), "run_id": run}
            found.ask("a source", RIGHT, http, "POST", f"{api}/model-versions/create", json=body)
            trace = f"tr-{uuid.UUID(int=rng.getrandbits(128)).hex}"
            place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
            # They are found and deleted by their name.
            info = {"trace_id": trace, "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
            info["client_request_id"] = model
            http.post(f"{version}/traces", json={"trace": {"trace_info": info}}, timeout=60)
            for key in ("mlflow.artifactLocation", "mlflow.trace.archiveLocation"):
                body = {"key": key, "value": address(attack)}
                found.ask("a tag of a trace", RIGHT, http, "PATCH", f"{version}/traces/{trace}/tags", json=body)
            where = rng.choice([address(attack), f"mlflow-artifacts:/.artifact.uploading.{attack.word(4)}"])
            body = {"name": PREFIX + attack.word(), "artifact_location": where}
            answer = http.post(f"{api}/experiments/create", json=body, timeout=60)
            found.expect("a location", str(answer.status_code), RIGHT, answer.text)
            if answer.ok:
                body = {"experiment_id": answer.json()["experiment_id"], "name": "m"}
                made = http.post(f"{api}/logged-models", json=body, timeout=60)
                if made.ok:
                    name = made.json()["model"]["info"]["model_id"]
                    ready = {"model_id": name, "status": "LOGGED_MODEL_READY"}
                    found.ask("a model that is ready", RIGHT, http, "PATCH", f"{api}/logged-models/{name}", json=ready)


CLEAN = f"""
DELETE FROM trace_info WHERE client_request_id LIKE '{PREFIX}%';
DELETE FROM model_versions WHERE name LIKE '{PREFIX}%';
DELETE FROM registered_models WHERE name LIKE '{PREFIX}%';
CREATE TEMPORARY TABLE gone AS SELECT experiment_id FROM experiments WHERE name LIKE '{PREFIX}%';
CREATE TEMPORARY TABLE runs_gone AS SELECT run_uuid FROM runs WHERE experiment_id IN (SELECT experiment_id FROM gone);
DELETE FROM tags WHERE run_uuid IN (SELECT run_uuid FROM runs_gone);
DELETE FROM runs WHERE run_uuid IN (SELECT run_uuid FROM runs_gone);
DELETE FROM experiment_tags WHERE experiment_id IN (SELECT experiment_id FROM gone);
DELETE FROM experiments WHERE experiment_id IN (SELECT experiment_id FROM gone);
"""
