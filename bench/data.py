"""The same experiments and runs in both databases, and the bodies of the requests."""

from __future__ import annotations

import json
import subprocess

from bench.load import FOLDER, SCRIPT, put
from bench.servers import BARE, ROOT, Server, ask, on_host

RUNS = 300
EXPERIMENTS = 100
API = "/api/2.0/mlflow"
# One span as OTLP. The trace's id is sixteen zeros, which the load generator replaces.
SPAN = """
import base64
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = ExportTraceServiceRequest()
span = request.resource_spans.add().scope_spans.add().spans.add()
span.trace_id, span.span_id, span.name, span.kind = b"0" * 16, b"12345678", "predict", 1
span.start_time_unix_nano, span.end_time_unix_nano = 1_790_000_000_000_000_000, 1_790_000_000_100_000_000
print(base64.b64encode(request.SerializeToString()).decode())
"""

# On the host, over one connection. Arguments: URL, headers, experiments, runs.
FILL = """
import http.client, json, ssl, sys, urllib.parse
url, headers = urllib.parse.urlsplit(sys.argv[1]), json.loads(sys.argv[2])
if url.scheme == "https":
    connection = http.client.HTTPSConnection(url.netloc, context=ssl._create_unverified_context())
else:
    connection = http.client.HTTPConnection(url.netloc)

def ask(path, body):
    connection.request("POST", url.path + path, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)

for number in range(int(sys.argv[3])):
    ask("/experiments/create", {"name": f"other-{number}"})
experiment = ask("/experiments/create", {"name": "search"})["experiment_id"]
for number in range(int(sys.argv[4])):
    run = ask("/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
    metrics = [{"key": f"m{i}", "value": number / (i + 1), "timestamp": 1, "step": 1} for i in range(5)]
    params = [{"key": f"p{i}", "value": str(number % (i + 2))} for i in range(5)]
    tags = [{"key": f"t{i}", "value": "x"} for i in range(3)]
    ask("/runs/log-batch", {"run_id": run, "metrics": metrics, "params": params, "tags": tags})
"""


def fill(server: Server) -> None:
    """Experiments, runs with metrics, parameters and tags; once for each database."""
    found = ask(server, "GET", f"{API}/experiments/get-by-name?experiment_name=search", patient=True)
    if '"experiment"' not in found:
        on_host("python3", "-c", FILL, server.url + API, json.dumps(server.headers), str(EXPERIMENTS), str(RUNS))


def bodies(server: Server) -> None:
    """Write the bodies of all requests to the host, for this server's own experiments and runs."""
    put("requests.lua", SCRIPT)
    name = server.name
    put(f"{name}-4k", "x" * 4096)
    if server is BARE:
        return
    found = json.loads(ask(server, "GET", f"{API}/experiments/get-by-name?experiment_name=search"))
    searched = found["experiment"]["experiment_id"]
    logged = json.loads(ask(server, "POST", f"{API}/experiments/create", {"name": f"log-{on_host('date', '+%s%N')}"}))
    experiment = logged["experiment_id"]
    put(f"{name}-experiment", experiment)
    put(f"{name}-runs", "\n".join(_new_run(server, experiment) for _ in range(8)))
    metric = '{"key": "%s", "value": 0.5, "timestamp": @COUNTER@, "step": 1}'
    put(f"{name}-metric", metric.replace("{", '{"run_id": "@RUN@", ', 1) % "loss")
    many = ", ".join(metric % f"m{i}" for i in range(1000))
    put(f"{name}-batch", f'{{"run_id": "@RUN@", "metrics": [{many}]}}')
    put(f"{name}-run", json.dumps({"experiment_id": experiment, "start_time": 1}))
    put(f"{name}-runs-search", json.dumps({"experiment_ids": [searched], "max_results": 100}))
    put(f"{name}-experiments-search", json.dumps({"max_results": 100}))
    span = subprocess.run([ROOT / ".venv-client/bin/python", "-c", SPAN], capture_output=True, text=True, check=True)
    on_host("sh", "-c", f"base64 --decode > {FOLDER}/{name}-span", stdin=span.stdout)


def files(server: Server) -> None:
    """A thousand files of 4 KiB to read, and one of 1 GiB, as the server itself would have written them."""
    folder = server.store
    code = (
        f"mkdir -p {folder}/read && cd {folder}/read && for i in $(seq 0 999); do head -c 4096 /dev/zero > $i; done && "
        f"head -c 1G /dev/urandom > big && chown -R --reference={folder} . && chmod -R u=rwX,g=rwX ."
    )
    on_host("sh", "-c", f"test -s {folder}/read/big || {{ {code}; }}")


def _new_run(server: Server, experiment: str) -> str:
    answer = ask(server, "POST", f"{API}/runs/create", {"experiment_id": experiment, "start_time": 1})
    return str(json.loads(answer)["run"]["info"]["run_id"])
