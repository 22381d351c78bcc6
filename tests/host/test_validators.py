"""An artifact that was rewritten never counts as unchanged."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/0"
OLD, NEW = b"old content", b"new content"
FUTURE = "Fri, 01 Jan 2038 00:00:00 GMT"


@pytest.mark.parametrize("name", ["plain", "with%28brackets%29"])
def test_a_rewritten_artifact_is_never_taken_for_the_old_one(server: Any, http: Any, name: str) -> None:
    """By nginx itself, and by MLflow for a name that is not plain; rewritten at once, with the same size."""
    url = f"{server.url}{ARTIFACTS}/{name}-{uuid.uuid4().hex}"
    for _ in range(8):
        assert http.put(url, data=OLD).ok
        had = http.get(url).headers
        assert http.put(url, data=NEW).ok
        validators = {had.get("ETag", '"none"'), had.get("Last-Modified", FUTURE), FUTURE}
        for validator in validators:
            condition = "If-None-Match" if validator.endswith('"') else "If-Modified-Since"
            assert http.get(url, headers={condition: validator}).content == NEW
            part = http.get(url, headers={"If-Range": validator, "Range": "bytes=4-"})
            assert (part.status_code, part.content) == (200, NEW)
    part = http.get(url, headers={"Range": "bytes=4-"})
    assert (part.status_code, part.content) == (206, NEW[4:])
    beyond = http.get(url, headers={"Range": "bytes=99-"})
    assert beyond.status_code == 416
