"""Clients that send or read a byte now and then, with as many connections as one address may have."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from tests.abuse.found import Attack
from tests.abuse.sockets import OPEN, Client, talk_all
from tests.abuse.target import REST
from tests.harness.artifacts import API

# One address may have 512; the honest client comes from the same one.
MOST = 450
# Such a slow client is disconnected soon after this time.
BOUND = 180
MIB = 2**20


def _body(attack: Attack, method: str, path: str, role: str, size: int = 0, **headers: Any) -> Client:
    length = size or attack.rng.randrange(100_000, 900_000)
    head = attack.target.head(method, path, role, Content_Length=length, **headers)
    return Client(head, b"x", pause=attack.rng.uniform(0.5, 1.5), most=length)


def _senders(attack: Attack) -> list[list[Client]]:
    """One client of each kind, in random order."""
    rng, word = attack.rng, attack.word()
    json: dict[str, Any] = {"Content_Type": "application/json"}
    protobuf: dict[str, Any] = {"Content_Type": "application/x-protobuf", "x_mlflow_experiment_id": 0}
    root = f"{API}/abuse/{uuid.UUID(int=rng.getrandbits(128)).hex}/artifacts"
    unusual = f"{root}/{word}%24{word}"
    many = 10 * 2**20
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={'f' * 32}&path={word}"
    hello = bytes.fromhex("16030102000100")
    kinds: list[Callable[[], Client]] = [
        lambda: _body(attack, "GET", f"{API}/{word}", "viewer"),
        lambda: _body(attack, "DELETE", f"{API}/{word}", "editor"),
        lambda: _body(attack, "PUT", f"{root}/plain", "editor"),
        lambda: _body(attack, "PUT", f"{root}/big", "editor", many),
        lambda: _body(attack, "PUT", unusual, "editor"),
        lambda: _body(attack, "PUT", unusual, "editor", many),
        lambda: _body(attack, "POST", f"{REST}/runs/search", "viewer", **json),
        lambda: _body(attack, "POST", "/v1/traces", "editor", **protobuf),
        lambda: _body(attack, "POST", upload, "editor", **json),
        lambda: _body(attack, "POST", f"{API}/{word}", "editor", **json),
        lambda: _body(attack, "POST", "/health", ""),
        lambda: Client(attack.target.head("GET", "/version", "viewer")[:-4], b"\r\nX", 1, 10_000),
        lambda: Client(hello, b"x", 1, 10_000, tls=False),
    ]
    rng.shuffle(kinds)
    return [[kind() for _ in range(MOST // len(kinds))] for kind in kinds]


def senders(attack: Attack) -> None:
    """Every way to send slowly, at once: the API still works; each client is disconnected."""
    while attack.has_time():
        kinds = _senders(attack)
        # All kinds at once, or one of them with every connection.
        alone = attack.rng.random() < 0.5 and attack.left() > BOUND
        clients = kinds[0] * len(kinds) if alone else [client for kind in kinds for client in kind]
        _hold(attack, clients)


def readers(attack: Attack) -> None:
    """Answers that are not read: large artifacts from nginx and from MLflow, and a search with a large answer."""
    target, rng = attack.target, attack.rng
    root = f"abuse/{attack.word()}"
    with target.session("editor") as http:
        for name in ("plain", "a%24b"):
            http.put(f"{target.artifacts(root)}/{name}", data=b"x" * (64 * MIB), timeout=120)
        value = "v" * 5000
        experiment = target.experiment(f"abuse-{attack.word()}")
        for _ in range(8):
            run = target.run(experiment)
            tags = [{"key": f"{attack.word()}{number}", "value": value} for number in range(100)]
            http.post(f"{target.url}{REST}/runs/log-batch", json={"run_id": run, "tags": tags}, timeout=60)
    question = f'{{"experiment_ids":["{experiment}"],"max_results":1000}}'
    search = target.head(
        "POST", f"{REST}/runs/search", "viewer", Content_Type="application/json", Content_Length=len(question)
    )
    heads = [
        target.head("GET", f"{API}/{root}/plain", "viewer"),
        target.head("GET", f"{API}/{root}/a%24b", "viewer"),
        search + question.encode(),
    ]
    try:
        # At least once: on a busy machine all of this takes longer than a short turn.
        while attack.has_time() or not attack.found.answers:
            count = rng.randrange(20, 40)
            clients = [Client(head, reads=rng.randrange(1, 500), pause=1) for head in heads for _ in range(count)]
            _read(attack, clients, root)
    finally:
        with target.session("editor") as http:
            for name in ("plain", "a%24b"):
                http.delete(f"{target.artifacts(root)}/{name}", timeout=60)
            http.post(f"{target.url}{REST}/experiments/delete", json={"experiment_id": experiment}, timeout=60)


def _hold(attack: Attack, clients: Sequence[Client]) -> None:
    patience = attack.left(BOUND) + 1
    for client, ended in zip(clients, talk_all(attack.target, clients, patience), strict=True):
        attack.found.answers[ended.status] += 1
        if ended.status == OPEN and patience > BOUND:
            line = client.head.split(b"\r\n")[0].decode("latin-1") if client.tls else "a handshake"
            attack.found.fault(f"{line}: a client that sends a byte a second is not ended within {BOUND} s")


def _read(attack: Attack, clients: Sequence[Client], root: str) -> None:
    """Do not read answers; nginx's log shows when it has closed them, since buffered data still arrives at the client."""
    patience, before = max(5.0, attack.left(BOUND)) + 1, _logged(attack, root)
    with ThreadPoolExecutor(1) as pool:
        talking = pool.submit(talk_all, attack.target, clients, patience)
        wait([talking], patience - 1)
        ended = _logged(attack, root) - before
        for one in talking.result():
            attack.found.answers[one.status] += 1
    sent = sum(root.encode() in client.head for client in clients)
    if patience > BOUND and ended < sent:
        attack.found.fault(f"{sent - ended} of {sent} clients that read a byte a second are not ended within {BOUND} s")


def _logged(attack: Attack, root: str) -> int:
    """How many requests for artifacts nginx has completed."""
    return int(attack.target.shell(f"grep --count 'GET [^ ]*/{root}/' /var/log/nginx/access.log") or 0)
