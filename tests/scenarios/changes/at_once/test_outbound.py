"""What `mlflow_outbound_addresses` opens: a webhook and an LLM provider, by name, at a private address, over plain http."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.playbook import ask
from tests.scenarios.changes.at_once.switches import LOGIN

# A server that acts as webhook and as OpenAI, and records its requests.
SERVER = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(self.path, body, file=open("/run/outbound.log", "a"), flush=True)
        message = {"role": "assistant", "content": "from the provider"}
        answer = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "small",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("127.0.0.1", 8600), Handler).serve_forever()
"""


def create(host: Any, path: str, **fields: Any) -> dict[str, Any]:
    """Create something in MLflow; returns the answer."""
    made = ask(host, *LOGIN, f"/api/{path}", method="POST", json=fields)
    assert made.status_code == 200, made.text
    answer: dict[str, Any] = made.json()
    return answer


@pytest.fixture(scope="module")
def outside(host: Any) -> Iterator[str]:
    """The URL of a server that MLflow may reach."""
    host.check_output("grep -q tools.example /etc/hosts || echo 127.0.0.1 tools.example >> /etc/hosts")
    host.check_output("systemctl is-active -q outbound || systemd-run --unit outbound python3 -c %s", SERVER)
    try:
        yield "http://tools.example:8600"
    finally:
        host.run("systemctl stop outbound; rm -f /run/outbound.log")


def test_a_webhook_is_delivered(host: Any, outside: str) -> None:
    """MLflow's own test of it says 200, and the body has arrived."""
    events = [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
    hook = create(host, "2.0/mlflow/webhooks", name="tools", url=f"{outside}/hook", events=events)["webhook"]
    output = create(host, f"2.0/mlflow/webhooks/{hook['webhook_id']}/test")
    assert output["result"]["success"] is True, output
    assert "/hook {" in host.check_output("cat /run/outbound.log")


def test_a_provider_answers_through_the_gateway(host: Any, outside: str) -> None:
    """The key goes to the provider, its answer to the client."""
    gateway = "3.0/mlflow/gateway"
    secret = create(
        host,
        f"{gateway}/secrets/create",
        secret_name="tools",
        secret_value={"api_key": "sk-outbound"},
        provider="openai",
        auth_config={"api_base": f"{outside}/v1"},
    )["secret"]
    model = create(
        host,
        f"{gateway}/model-definitions/create",
        name="small",
        secret_id=secret["secret_id"],
        provider="openai",
        model_name="small",
    )["model_definition"]
    linked = [{"model_definition_id": model["model_definition_id"], "linkage_type": "PRIMARY", "weight": 1}]
    create(host, f"{gateway}/endpoints/create", name="tools", model_configs=linked, usage_tracking=False)
    question = {"messages": [{"role": "user", "content": "who are you?"}]}
    output = ask(host, *LOGIN, "/gateway/tools/mlflow/invocations", method="POST", json=question)
    assert output.status_code == 200, output.text
    assert "from the provider" in output.text
