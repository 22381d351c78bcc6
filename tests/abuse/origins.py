"""Pages of other sites, with credentials that a browser has stored: read-only, and no CORS headers."""

from __future__ import annotations

from tests.abuse.found import Attack
from tests.abuse.target import REST

PATHS = [
    f"{REST}/experiments/create",
    f"{REST}/runs/search",
    "/ajax-api/2.0/mlflow/runs/create",
    "/ajax-api/3.0/mlflow/traces/search",
    "/api/2.0/mlflow-artifacts/artifacts/abuse-origin/plain",
    "/api/2.0/mlflow-artifacts/artifacts/abuse-origin/a%24b",
    "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=0&path=x",
    "/graphql",
    "/gateway/abuse/mlflow/invocations",
    "/ajax-api/2.0/mlflow/gateway-proxy",
    "/v1/traces",
    "/version",
    "/",
]


def foreign(attack: Attack) -> None:
    """Each way to write, from each kind of foreign origin: 403."""
    target, found, rng = attack.target, attack.found, attack.rng
    host = target.netloc
    while attack.has_time():
        origins = [
            "null",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            f"https://{attack.word()}.example",
            "file://",
        ]
        origins += [f"{target.origin}.evil.example", f"http://{host}", f"https://user@{host}", "http://[::1]:5000"]
        origins += [target.origin + "/", f"{target.origin} https://evil.example", "chrome-extension://abcdef"]
        with target.session("editor") as http:
            for path in rng.sample(PATHS, len(PATHS)):
                for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"):
                    origin = rng.choice(origins)
                    headers = {"Origin": origin, "Content-Type": rng.choice(["application/json", "text/plain"])}
                    if method == "OPTIONS":
                        headers["Access-Control-Request-Method"] = "POST"
                    answer = http.request(
                        method, target.url + path, headers=headers, data=b"{}" if method != "GET" else None, timeout=60
                    )
                    what = f"{method} {path.partition('?')[0]} from {_kind(origin, target.origin)}"
                    status = str(answer.status_code)
                    if method == "GET":
                        found.answers[status] += 1
                    else:
                        found.expect(what, status, {"403"}, answer.text)
                    shown = [name for name in answer.headers if name.lower().startswith("access-control-")]
                    if shown:
                        found.fault(f"{what}: answered with {', '.join(shown)}")
                if not attack.has_time():
                    break
            for headers in ({}, {"Origin": target.origin}):
                url = f"{target.url}{REST}/runs/search"
                found.ask(
                    "runs/search from our own page",
                    {"200"},
                    http,
                    "POST",
                    url,
                    json={"experiment_ids": ["0"], "max_results": 1},
                    headers=headers,
                )


def _kind(origin: str, own: str) -> str:
    """Without the parts that differ between servers."""
    return (
        origin.replace(own.partition("://")[2], "OURS")
        if ".example" not in origin or "OURS" in origin
        else "another site"
    )
