"""Requests for functions that the server does not have, and refusals of sources."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow_host.service import query_limits, sources, unserved

TEMPLATE = Path(__file__).parents[4] / "roles" / "mlflow" / "templates" / "mlflow" / "mlflow.env.j2"
DEEP = b"[" * 100_000 + b"]" * 100_000


def answered(middleware: Any, method: str, path: str, body: bytes) -> dict[str, Any] | None:
    """The refusal, or nothing if MLflow got the whole request."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    read: list[bytes] = []

    def mlflow(environ: Any, _: Any) -> list[bytes]:
        read.append(environ["wsgi.input"].read())
        return []

    content = b"".join(middleware(mlflow)(environ, lambda status, headers: None))
    if read:
        assert (read, content) == ([body], b"")
        return None
    refusal: dict[str, Any] = json.loads(content)
    return refusal


@pytest.mark.parametrize(
    ("method", "path", "refused"),
    [
        ("POST", "/ajax-api/3.0/jobs", True),
        ("POST", "/ajax-api/3.0/jobs/", True),
        ("POST", "/ajax-api/3.0/jobs/search", False),
        ("GET", "/ajax-api/3.0/jobs/1", False),
        ("POST", "/api/3.0/mlflow/prompt-optimization/jobs", True),
        ("GET", "/api/3.0/mlflow/prompt-optimization/jobs/search", False),
        ("GET", "/api/3.0/mlflow/workspaces", True),
        ("PATCH", "/api/3.0/mlflow/workspaces/a b", True),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/mlflow/workspaces", False),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/api/3.0/mlflow/scorer/invoke", False),
    ],
)
def test_unsupported_endpoints(method: str, path: str, refused: bool) -> None:
    """Only the endpoint itself, at any depth of the body."""
    for body in (b"{}", b"", DEEP):
        refusal = answered(unserved.Unserved, method, path, body)
        assert (refusal or {}).get("error_code") == ("NOT_IMPLEMENTED" if refused else None)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b'{"sample_rate": 0.5}', True),
        (b'{"sample_rate": "1"}', True),
        (b'{"sample_rate": 0}', False),
        (b'{"sample_rate": {}}', False),
        (b"[]", False),
        (b"not JSON", False),
        (DEEP, False),
    ],
)
def test_only_a_rate_switches_scoring_on(body: bytes, refused: bool) -> None:
    """All other requests reach MLflow unchanged."""
    assert (answered(unserved.Unserved, "PUT", "/api/3.0/mlflow/scorers/online-config", body) is not None) == refused


CREATE = "/api/2.0/mlflow/model-versions/create"


@pytest.fixture
def pattern(monkeypatch: pytest.MonkeyPatch) -> re.Pattern[str]:
    """The pattern of the service's settings."""
    found = re.search(rf"^{sources.PATTERN}=(.*)$", TEMPLATE.read_text(), re.MULTILINE)
    assert found
    monkeypatch.setenv(sources.PATTERN, found[1])
    return re.compile(found[1])


def test_a_refused_source_is_answered_with_the_allowed_forms(pattern: re.Pattern[str]) -> None:
    """Each of those forms is accepted, and MLflow's own; MLflow refuses the rest."""
    refusal = answered(sources.Sources, "POST", CREATE, b'{"source": "s3://b/x"}')
    assert refusal
    assert refusal["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "'s3://b/x'" in refusal["message"]
    for form in sources.FORMS:
        assert form in refusal["message"]
        source = re.sub(r"<[^>]+>", "x", form)
        assert pattern.search(source)
        assert not answered(sources.Sources, "POST", CREATE, json.dumps({"source": source}).encode())
    for body in (b'{"source": "dummy-source"}', b'{"source": ""}', b'{"source": 5}', b"{}", b"[]", b"no", DEEP):
        assert not answered(sources.Sources, "POST", CREATE, body)
    assert not answered(sources.Sources, "POST", "/api/2.0/mlflow/runs/create", b'{"source": "s3://b/x"}')


def test_a_number_of_datasets_is_for_mlflow_to_refuse() -> None:
    """It is no list, so it has no length."""
    body = b'{"datasets": 5}'
    path = "/api/2.0/mlflow/metrics/search"
    assert not answered(lambda mlflow: query_limits.QueryLimits(mlflow, 1 << 20), "POST", path, body)
