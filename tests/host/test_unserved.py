"""Requests that the server cannot process are refused, instead of accepted and never processed."""

from __future__ import annotations

from typing import Any

import pytest


def test_online_scoring_is_refused_with_a_message(server: Any, http: Any) -> None:
    """One sentence of JSON at both paths; MLflow answers when it is switched off, and for a missing scorer."""
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


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "ajax-api/3.0/jobs/", "runs no jobs"),
        ("POST", "ajax-api/3.0/mlflow/genai/evaluate/invoke", "mlflow.genai.evaluate"),
        ("POST", "ajax-api/3.0/mlflow/scorer/invoke", "mlflow.genai.evaluate"),
        ("POST", "ajax-api/3.0/mlflow/issues/invoke", "mlflow.search_traces"),
        ("POST", "ajax-api/3.0/mlflow/prompt-optimization/jobs", "mlflow.genai.optimize_prompts"),
        ("POST", "api/3.0/mlflow/prompt-optimization/jobs", "mlflow.genai.optimize_prompts"),
        ("GET", "api/3.0/mlflow/workspaces", "has no workspaces"),
        ("POST", "ajax-api/3.0/mlflow/workspaces", "has no workspaces"),
        ("GET", "ajax-api/3.0/mlflow/workspaces/other", "has no workspaces"),
        ("DELETE", "api/3.0/mlflow/workspaces/other", "has no workspaces"),
    ],
)
def test_refusals_of_jobs_and_workspaces_name_an_alternative(
    server: Any, http: Any, method: str, path: str, words: str
) -> None:
    """501, which no client repeats, whatever the body says."""
    answer = http.request(method, f"{server.url}/{path}", json={"job_name": "invoke_scorer", "params": {}})
    assert answer.status_code == 501
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert words in answer.json()["message"]


@pytest.mark.parametrize("path", ["ajax-api/3.0/mlflow/jobs/none", "api/3.0/mlflow/prompt-optimization/jobs/none"])
def test_requests_for_jobs_are_answered(server: Any, http: Any, path: str) -> None:
    """MLflow itself answers that there is none."""
    assert http.get(f"{server.url}/{path}").status_code == 404
