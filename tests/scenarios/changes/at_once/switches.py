"""Variables of several parts that are changed in one run of the play and changed back in another."""

from __future__ import annotations

import uuid
from typing import Any

from tests.harness.artifacts import API
from tests.harness.playbook import ask, run_playbook

LOGIN = ("ada", "correct-horse-battery")
ONLY = ("--tags", "mlflow,proxy")
# docs/how-to/webhooks-and-providers.md has these.
SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "https,http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "https,http",
    "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
}
VARIABLES = {
    "mlflow_outbound_addresses": ["127.0.0.0/8"],
    "mlflow_settings": SETTINGS,
    "mlflow_access_ban_enabled": True,
    "mlflow_access_ban_failures": 5,
    "mlflow_proxy_artifact_fast_path": False,
}
# Large enough for the second nginx.
CONTENT = b"x" * 2_000_000


class Written:
    """URLs of artifacts: the first is written before anything is changed, the second afterwards."""

    before, after = (f"{API}/0/{uuid.uuid4().hex}/artifacts/folder/file" for _ in range(2))


def provision(variables: dict[str, Any] | None = None) -> str:
    """Run the play; returns what it printed."""
    done = run_playbook(variables, ONLY)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def switch(host: Any) -> None:
    """Change all of them."""
    assert ask(host, *LOGIN, Written.before, method="PUT", data=CONTENT).ok
    provision(VARIABLES)
