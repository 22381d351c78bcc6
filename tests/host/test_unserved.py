"""What the server cannot do it refuses, instead of accepting it and never doing it."""

from __future__ import annotations

from typing import Any


def test_online_scoring_says_that_nobody_would_do_it(server: Any, http: Any) -> None:
    """One sentence of JSON under both addresses; switching it off, and a scorer that is not there, are MLflow's to answer."""
    asked = {"experiment_id": "0", "name": "no-such-scorer", "sample_rate": 0.5}
    for prefix in ("api", "ajax-api"):
        address = f"{server.url}/{prefix}/3.0/mlflow/scorers/online-config"
        for rate in (0.5, "0.5", 1, "nan"):
            answer = http.put(address, json=asked | {"sample_rate": rate})
            assert answer.status_code == 501
            assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
            assert "runs no scheduler" in answer.json()["message"]
        for rate in (0, "0.0"):
            assert http.put(address, json=asked | {"sample_rate": rate}).status_code != 501
