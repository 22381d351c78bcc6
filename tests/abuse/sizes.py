"""Bodies, headers and URLs that are larger than any request needs."""

from __future__ import annotations

import json

from tests.abuse.found import Attack
from tests.abuse.sockets import NO_BODY, Client, talk_all
from tests.abuse.target import REST

MIB = 2**20
PIECE = b"x" * MIB
# Allowed answers without a login: unauthorized, too large, not found, bad request. Or the connection is closed.
TO_STRANGERS = {"400", "401", "403", "404", "405", "411", "413", "none"}
# Or forbidden for the role.
TOO_LARGE = {"413", "403", "none"}


def without_login(attack: Attack) -> None:
    """Without a login, bodies of gigabytes or without an end on every kind of path: none is stored anywhere."""
    rng, target = attack.rng, attack.target
    paths = ["/health", "/", "/version", "/ready", "/graphql", "/v1/traces", "/-/login", "/static-files/index.html"]
    paths += [f"{REST}/runs/search", "/ajax-api/2.0/mlflow/upload-artifact", f"/{attack.word()}"]
    while attack.has_time():
        clients, named = [], []
        # Always the open path; the others at random.
        for path in ["/health", *rng.sample(paths[1:], 7)]:
            method = rng.choice(["POST", "PUT", "GET", "PATCH", "DELETE"]) if path != "/health" else "POST"
            if rng.random() < 0.7:
                head = target.head(method, path, Content_Length=rng.randrange(2, 2000) * 2**30)
                piece = PIECE
            else:
                head = target.head(method, path, Transfer_Encoding="chunked")
                piece = b"100000\r\n" + PIECE + b"\r\n"
            clients.append(Client(head, piece, most=rng.randrange(8, 24) * MIB))
            named.append(f"{method} {path} with a body and no login")
        for what, ended in zip(named, talk_all(target, clients, attack.left(10) + 3), strict=True):
            attack.found.expect(what, ended.status, TO_STRANGERS)


def questions(attack: Attack) -> None:
    """Users' requests of many MiB: 413 in JSON, as soon as the header is received."""
    rng, target, found = attack.rng, attack.target, attack.found
    asked = [
        ("viewer", "POST", f"{REST}/runs/search"),
        ("viewer", "POST", f"{REST}/experiments/search"),
        ("viewer", "POST", "/graphql"),
        ("viewer", "GET", f"{REST}/runs/get"),
        ("editor", "POST", f"{REST}/runs/log-batch"),
        ("editor", "POST", f"{REST}/runs/set-tag"),
        ("editor", "POST", "/ajax-api/2.0/mlflow/runs/log-metric"),
        ("editor", "PATCH", f"{REST}/runs/{attack.word()}"),
        ("admin", "DELETE", f"{REST}/registered-models/delete"),
    ]
    while attack.has_time():
        clients, named = [], []
        for role, method, path in rng.sample(asked, len(asked)):
            size = rng.randrange(64, 4000)
            head = target.head(method, path, role, Content_Type="application/json", Content_Length=size * MIB)
            # A client that waits for "100 Continue" sends no body.
            piece = rng.choice([b" " * MIB, NO_BODY])
            clients.append(Client(head, piece, most=8 * MIB))
            named.append((f"{method} {path} of {size} MiB by the {role}", piece))
        for (what, piece), ended in zip(named, talk_all(target, clients, attack.left(15) + 3), strict=True):
            # A client that continues to send may see a reset before the answer.
            found.expect(what, ended.status, TOO_LARGE if piece else {"413", "403"}, ended.body or None)
        _whole(attack)


def _whole(attack: Attack) -> None:
    """Bodies that are sent completely, below the sizes that the sockets above announce."""
    rng, target, found = attack.rng, attack.target, attack.found
    run = "f" * 32
    with target.session("editor") as http:
        for mebibytes in (rng.randrange(3, 6), rng.randrange(40, 60)):
            metrics = [{"key": "k" * 200, "value": 1, "timestamp": 1, "step": 1}] * (mebibytes * 4000)
            body = json.dumps({"run_id": run, "metrics": metrics})
            right = {"413", "none"} if mebibytes > 30 else {"400", "404", "413"}
            found.ask(
                f"log-batch of {mebibytes} MiB", right, http, "POST", f"{target.url}{REST}/runs/log-batch", data=body
            )
        value = attack.word() * rng.randrange(100_000, 150_000)
        body = json.dumps({"run_id": run, "key": "k", "value": value})
        found.ask(
            "set-tag of more than 1 MB",
            {"400", "404", "413"},
            http,
            "POST",
            f"{target.url}{REST}/runs/set-tag",
            data=body,
        )


def heads(attack: Attack) -> None:
    """Many headers and long URLs: refused by nginx, or processed like any other request."""
    rng, target, found = attack.rng, attack.target, attack.found
    while attack.has_time():
        # nginx takes four times 8 KiB.
        flood = {f"X-{attack.word(6)}": "v" * rng.randrange(1000, 7000) for _ in range(rng.randrange(35, 60))}
        address = f"{REST}/experiments/search?filter={attack.word() * rng.randrange(4000, 8000)}"
        heads = [target.head("GET", "/version", "viewer", **flood), target.head("GET", address, "viewer")]
        for ended in talk_all(target, [Client(head) for head in heads], 15):
            found.expect("a head of more than 32 KiB", ended.status, {"400", "414", "431", "494", "none"})
        with target.session("viewer") as http:
            for _ in range(5):
                words = attack.word(8) * rng.randrange(100, 800)
                url = f"{target.url}{REST}/experiments/get-by-name"
                answer = http.get(url, params={"experiment_name": words}, timeout=60)
                # gunicorn refuses a URL of more than 4 KiB before MLflow could give a reason.
                found.expect("a long query", str(answer.status_code), {"400", "404", "414"})
