"""Send the same requests to a stock ``mlflow server`` and to this project's; runs on the host, in the release's virtualenv.

Its caller inserts ``SETTINGS``: ``url``, ``login`` and ``certificates`` of the server under test, and a
unique ``names``. The stock server is started and stopped here. Prints both answers to each question:
a short form, and the parts that must be equal.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SETTINGS: dict[str, Any] = globals().get("SETTINGS", {})
CA = Path("ca.crt").resolve()
# MLflow reads them when it is imported.
os.environ |= {"HOME": os.getcwd(), "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
# For the stock server: no question needs its job runner, which is off in this project.
os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

KIB = 1 << 10
# Experiments: more than the length of any list that is compared.
MANY = 400
OLD, NEW = b"old content", b"new content"
PAST, FUTURE = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"
API, UI = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
UNKNOWN = [f"{number:032x}" for number in range(1, 118)]
# Parts that differ between servers and times.
TIMES = re.compile(r'"(\w*_time(stamp)?(_ms)?|timestamp)": ?"?\d+"?')

Answer = tuple[str, Any]
QUESTIONS: dict[str, Callable[[Side], Answer]] = {}


class Side:
    """One of the two servers, with the runs and models that the questions are about."""

    def __init__(self, url: str, login: tuple[str, str]) -> None:
        import requests

        self.url, self.login = url, login
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.auth = login
        self.http.verify = str(CA)
        # IDs that the server has chosen, and their replacements in answers that are compared.
        self.names: dict[str, str] = {}
        # IDs of the experiments that were created.
        self.experiments: list[str] = []

    def begin(self) -> None:
        """Create the runs and models for the questions."""
        from mlflow import MlflowClient

        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = self.login
        self.client = MlflowClient(self.url, self.url)
        # An ID that is equal to no other number in an answer, such as a version.
        for number in range(1000):
            if int(self.create_experiment(f"{SETTINGS['names']} {number}")) > MANY:
                break
        self.experiment = self.create_experiment(SETTINGS["names"])
        self.runs = [self.client.create_run(self.experiment, run_name=f"run {n}").info.run_id for n in range(3)]
        self.names = {run: f"RUN-{n}" for n, run in enumerate(self.runs)}
        for step, run in enumerate(self.runs):
            self.client.log_metric(run, "loss", 1 / (step + 1), timestamp=1000 + step, step=step)
        self.root = f"{ARTIFACTS}/{self.experiment}/{self.runs[0]}/artifacts"
        self.put("model/MLmodel", OLD)
        self.client.create_registered_model(SETTINGS["names"])

    def create_experiment(self, name: str) -> str:
        """Create an experiment, which :meth:`end` deletes."""
        self.experiments.append(self.client.create_experiment(name))
        return self.experiments[-1]

    def end(self) -> None:
        """Delete the experiments and models that were created, and with them the runs."""
        for model in self.client.search_registered_models(f"name LIKE '{SETTINGS['names']}%'"):
            self.client.delete_registered_model(model.name)
        for experiment in self.experiments:
            self.client.delete_experiment(experiment)

    def put(self, name: str, content: bytes) -> None:
        """Write an artifact of the first run."""
        self.http.put(f"{self.url}{self.root}/{name}", data=content, timeout=60).raise_for_status()

    def same(self, text: str) -> str:
        """A text with the server's own IDs, URL and times replaced."""
        for name, stands_for in self.names.items():
            text = text.replace(name, stands_for)
        text = re.sub(rf'(?<=[":/]){self.experiment}(?=["/])', "EXPERIMENT", text)
        return TIMES.sub(r'"\1": 0', text).replace(self.url, "URL")

    def ask(self, address: str, method: str = "GET", **more: Any) -> Any:
        """An answer; the connection is not used again, because the server may close it."""
        more["headers"] = {"Connection": "close"} | more.get("headers", {})
        return self.http.request(method, self.url + address, timeout=60, **more)

    def raw(self, head: bytes) -> Answer:
        """The answer to a header of any size: its last bytes are sent when the server has read the others."""
        import ssl

        url = urlsplit(self.url)
        connection = socket.create_connection((url.hostname or "", url.port or 443), timeout=60)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(CA))
            connection = context.wrap_socket(connection, server_hostname=url.hostname)
        received = b""
        with connection:
            try:
                connection.sendall(head[:-4])
                time.sleep(0.3)
                connection.sendall(head[-4:])
                while piece := connection.recv(1 << 16):
                    received += piece
            except OSError:
                pass  # it has answered and closed
        top, _, body = received.partition(b"\r\n\r\n")
        status = top.split(b" ")[1].decode() if top else "no answer"
        try:
            return f"{status} {json.loads(body)['error_code']}", None
        except (ValueError, KeyError, TypeError):
            form = "JSON" if body.lstrip()[:1] in (b"{", b"[") else "HTML" if body.lstrip()[:1] == b"<" else "text"
            return f"{status}{'' if status == '200' else ' in ' + form}", None


def answered(side: Side, answer: Any) -> Answer:
    """An answer's status with the code of an error, and all of its body."""
    text = side.same(answer.text)
    try:
        # MLflow's own endpoints use either type, and no client checks it.
        body = json.loads(text or "{}")
    except ValueError:
        kind = "HTML" if "<html" in text.lower() else "text"
        return (f"{answer.status_code}" if answer.ok else f"{answer.status_code} in {kind}"), text if answer.ok else ""
    code = body.get("error_code", "JSON") if isinstance(body, dict) and not answer.ok else ""
    return f"{answer.status_code} {code}".strip(), body


def bytes_of(answer: Any) -> Answer:
    """An answer with a file: status, which content, which part."""
    if not answer.ok:
        return f"{answer.status_code}", None
    if answer.headers.get("Content-Type", "").startswith("multipart/"):
        return f"{answer.status_code} in parts", None
    content = {OLD: "old", NEW: "new"}.get(answer.content, "")
    if not content and answer.content:
        content = repr(answer.content.decode())
    headers = ("Content-Range", "Content-Disposition", "Content-Type", "X-Content-Type-Options")
    return f"{answer.status_code} {content}".strip(), {name: answer.headers.get(name) for name in headers}


def client_says(side: Side, ask: Callable[[], Any]) -> Answer:
    """What the real client returned, or which error it raised."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        found = ask()
    except MlflowException as error:
        return error.error_code, side.same(str(error.message))
    except requests.HTTPError as error:
        # Errors of the proxied artifact store.
        return answered(side, error.response)
    return "done", side.same(json.dumps(found))


def add(name: str, ask: Callable[..., Answer], *given: Any) -> None:
    """Register a question, with its name and arguments."""
    assert name not in QUESTIONS, name
    QUESTIONS[name] = lambda side: ask(side, *given)


def question(name: str) -> Callable[[Callable[[Side], Answer]], Callable[[Side], Answer]]:
    """Register the decorated function as a question."""

    def named(ask: Callable[[Side], Answer]) -> Callable[[Side], Answer]:
        add(name, ask)
        return ask

    return named


# --- addresses and heads -----------------------------------------------------
WAYS: dict[str, Callable[[Side], str]] = {
    "REST": lambda side: f"{API}/experiments/get-by-name?experiment_name={SETTINGS['names']}&more=",
    "ASGI": lambda side: "/ajax-api/3.0/mlflow/mcp-servers?more=",
    "the UI's files": lambda side: "/static-files/favicon.ico?more=",
    "an artifact": lambda side: f"{side.root}/model/MLmodel?more=",
    "the UI's artifact": lambda side: f"/get-artifact?path=model%2FMLmodel&run_uuid={side.runs[0]}&more=",
}


def file_or_json(side: Side, answer: Any, way: str) -> Answer:
    """Files of the UI are compared by status and length: both are the release's."""
    if way == "the UI's files":
        return f"{answer.status_code}", len(answer.content)
    return bytes_of(answer) if "artifact" in way else answered(side, answer)


def long_address(side: Side, way: str, size: int) -> Answer:
    """A URL of so many KiB in all."""
    short = urlsplit(side.url).path + WAYS[way](side)
    return file_or_json(side, side.ask(WAYS[way](side) + "a" * (size * KIB - len(short))), way)


def with_fields(side: Side, way: str, fields: dict[str, str]) -> Answer:
    """A request with further header fields."""
    return file_or_json(side, side.ask(WAYS[way](side), headers=fields), way)


def beyond(side: Side, way: str, more: str, fields: str) -> Answer:
    """A header that is longer than a client of MLflow would send."""
    url = urlsplit(side.url)
    login = base64.b64encode(":".join(side.login).encode()).decode()
    head = f"GET {url.path}{WAYS[way](side)}{more} HTTP/1.1\r\nHost: {url.netloc}\r\n{fields}"
    return side.raw(f"{head}Authorization: Basic {login}\r\nConnection: close\r\n\r\n".encode())


def heads() -> None:
    """URLs up to 64 KiB, headers up to 64 KiB and 200 fields, on every route; and larger ones."""
    for way in WAYS:
        for size in (4, 8, 16, 32, 63):
            add(f"address of {size} KiB, {way}", long_address, way, size)
        for size in (9, 32, 62):
            add(f"cookie of {size} KiB, {way}", with_fields, way, {"Cookie": "a=" + "b" * size * KIB})
        for count in (150, 190):
            add(f"{count} fields, {way}", with_fields, way, {f"X-Field-{number}": "v" for number in range(count)})
    cookie = "Cookie: a={}\r\n"
    for way in ("REST", "ASGI", "the UI's files"):
        add(f"address of 80 KiB, {way}", beyond, way, "a" * 80 * KIB, "")
        add(f"cookie of 80 KiB, {way}", beyond, way, "", cookie.format("b" * 80 * KIB))
        add(f"250 fields, {way}", beyond, way, "", "".join(f"X-Field-{number}: v\r\n" for number in range(250)))
        both = ("a" * 40 * KIB, cookie.format("b" * 40 * KIB))
        add(f"address of 40 KiB and cookie of 40 KiB, {way}", beyond, way, *both)


# --- long questions of the client and the UI ---------------------------------
@question("history of 100 runs in one question of the UI")
def _(side: Side) -> Answer:
    runs = "".join(f"run_ids={run}&" for run in [*side.runs, *UNKNOWN[:97]])
    return answered(side, side.ask(f"{UI}/metrics/get-history-bulk-interval?{runs}metric_key=loss&max_results=320"))


@question("history of 101 runs in one question of the UI")
def _(side: Side) -> Answer:
    runs = "".join(f"run_ids={run}&" for run in [*side.runs, *UNKNOWN[:98]])
    return answered(side, side.ask(f"{UI}/metrics/get-history-bulk-interval?{runs}metric_key=loss&max_results=320"))


@question("history of 100 runs, the older form")
def _(side: Side) -> Answer:
    runs = "".join(f"run_id={run}&" for run in [*side.runs, *UNKNOWN[:97]])
    status, body = answered(side, side.ask(f"{UI}/metrics/get-history-bulk?{runs}metric_key=loss&max_results=100"))
    # The order is by the runs' IDs, which differ between the servers.
    return status, sorted(body["metrics"], key=lambda point: point["step"])


@question("client: search_model_versions of 120 runs")
def _(side: Side) -> Answer:
    listed = ",".join(f"'{run}'" for run in [*side.runs, *UNKNOWN])
    return client_says(side, lambda: len(side.client.search_model_versions(f"run_id IN ({listed})")))


@question("client: search_runs of 120 runs")
def _(side: Side) -> Answer:
    listed = ",".join(f"'{run}'" for run in [*side.runs, *UNKNOWN])
    wanted = f"attributes.run_id IN ({listed})"
    return client_says(
        side, lambda: sorted(side.names[run.info.run_id] for run in side.client.search_runs([side.experiment], wanted))
    )


@question("client: search_registered_models by a name of 20,000 letters")
def _(side: Side) -> Answer:
    return client_says(side, lambda: len(side.client.search_registered_models(f"name = '{'n' * 20000}'")))


@question("client: get_experiment_by_name of 20,000 letters")
def _(side: Side) -> Answer:
    return client_says(side, lambda: side.client.get_experiment_by_name("n" * 20000))


@question("client: get_registered_model of 20,000 letters")
def _(side: Side) -> Answer:
    return client_says(side, lambda: side.client.get_registered_model("n" * 20000))


@question("client: list_artifacts of a path of 3,000 bytes")
def _(side: Side) -> Answer:
    return client_says(side, lambda: side.client.list_artifacts(side.runs[0], "d/" * 1500))


@question("client: list_artifacts of a name of 3,000 bytes")
def _(side: Side) -> Answer:
    return client_says(side, lambda: side.client.list_artifacts(side.runs[0], "d" * 3000))


@question("client: everyday")
def _(side: Side) -> Answer:
    def day() -> Any:
        client, run = side.client, side.runs[2]
        client.log_param(run, "depth", 3)
        client.log_text(run, "text", "out/text.txt")
        client.set_tag(run, "tag", "v" * 5000)
        client.set_terminated(run, end_time=2000)
        found = client.get_run(run)
        tags = {key: value for key, value in found.data.tags.items() if key == "tag"}
        path = client.download_artifacts(run, "out", tempfile.mkdtemp())
        listed = [file.to_proto().file_size for file in client.list_artifacts(run, "out")]
        history = [(point.value, point.step, point.timestamp) for point in client.get_metric_history(run, "loss")]
        text = Path(path, "text.txt").read_text()
        return [found.info.status, found.data.metrics, found.data.params, tags, listed, text, history]

    return client_says(side, day)


# --- artifacts that were rewritten -------------------------------------------
FILES: dict[str, Callable[[Side], str]] = {
    "the API": lambda side: f"{side.root}/model/file.bin",
    "the UI's API": lambda side: f"/ajax-api{side.root.removeprefix('/api')}/model/file.bin",
    "the UI": lambda side: f"/get-artifact?path=model%2Ffile.bin&run_uuid={side.runs[0]}",
    "a model version": lambda side: f"/model-versions/get-artifact?path=file.bin&name={SETTINGS['names']}&version=1",
}
CONDITIONS: dict[str, dict[str, str]] = {
    "no condition": {},
    "If-None-Match: the old ETag": {"If-None-Match": "etag"},
    "If-None-Match: *": {"If-None-Match": "*"},
    "If-None-Match: another ETag": {"If-None-Match": '"another"'},
    "If-Modified-Since: the old date": {"If-Modified-Since": "date"},
    "If-Modified-Since: a later date": {"If-Modified-Since": FUTURE},
    "If-Modified-Since: an earlier date": {"If-Modified-Since": PAST},
    "Range": {"Range": "bytes=4-"},
    "Range, its end": {"Range": "bytes=-3"},
    "Range, beyond": {"Range": "bytes=99-"},
    "Range, two": {"Range": "bytes=0-1,4-5"},
    "Range, If-Range: the old ETag": {"Range": "bytes=4-", "If-Range": "etag"},
    "Range, If-Range: the old date": {"Range": "bytes=4-", "If-Range": "date"},
    "Range, If-Range: another ETag": {"Range": "bytes=4-", "If-Range": '"another"'},
    "If-Match: *": {"If-Match": "*"},
    "If-Match: another ETag": {"If-Match": '"another"'},
    "If-Unmodified-Since: an earlier date": {"If-Unmodified-Since": PAST},
}


def conditional(side: Side, way: str, method: str, headers: dict[str, str], rewritten: bool) -> Answer:
    """Send a condition with the validators of the first answer."""
    address = side.url + FILES[way](side)
    for _ in range(20):
        began = time.time()
        side.put("model/file.bin", OLD)
        had = side.http.get(address, timeout=60).headers
        if rewritten:
            # After the kernel's tick, so that stock's ETag differs; in the same second, so that its date does not.
            time.sleep(0.02)
            side.put("model/file.bin", NEW)
        if int(began) == int(time.time()):
            break
    told_by = {"etag": had.get("ETag", '"none"'), "date": had.get("Last-Modified", FUTURE)}
    sent = {name: told_by.get(value, value) for name, value in headers.items()}
    return bytes_of(side.http.request(method, address, headers=sent, timeout=60))


def conditions() -> None:
    """A file that was rewritten at once, with the same size; and one that was not rewritten."""
    for state in ("rewritten", "unchanged"):
        for way in FILES:
            for condition, headers in CONDITIONS.items():
                add(f"{state}, {way}: {condition}", conditional, way, "GET", headers, state == "rewritten")
            add(f"{state}, {way}: HEAD", conditional, way, "HEAD", {}, state == "rewritten")
            add(f"{state}, {way}: HEAD, Range", conditional, way, "HEAD", {"Range": "bytes=4-"}, state == "rewritten")


@question("how long an artifact may be kept")
def _(side: Side) -> Answer:
    return side.ask(f"{side.root}/model/MLmodel").headers.get("Cache-Control", "nothing said"), None


# --- sources of model versions -----------------------------------------------
SOURCES: dict[str, Callable[[Side], str]] = {
    "runs:/RUN/model": lambda side: f"runs:/{side.runs[0]}/model",
    "runs:/RUN/model/": lambda side: f"runs:/{side.runs[0]}/model/",
    "runs:/RUN": lambda side: f"runs:/{side.runs[0]}",
    "runs:/RUN/a b": lambda side: f"runs:/{side.runs[0]}/a b",
    "runs:/RUN/model/deeper": lambda side: f"runs:/{side.runs[0]}/model/deeper",
    "runs:/ of another run": lambda side: f"runs:/{side.runs[1]}/model",
    "runs:/RUN/../other": lambda side: f"runs:/{side.runs[0]}/../{side.runs[1]}/artifacts",
    "runs:/RUN/%2e%2e/other": lambda side: f"runs:/{side.runs[0]}/%2e%2e/other",
    "runs:/RUN/%252e%252e/other": lambda side: f"runs:/{side.runs[0]}/%252e%252e/other",
    "runs:/RUN/model?query": lambda side: f"runs:/{side.runs[0]}/model?query",
    "runs:/RUN/model#fragment": lambda side: f"runs:/{side.runs[0]}/model#fragment",
    "runs://host/RUN/model": lambda side: f"runs://host/{side.runs[0]}/model",
    "runs:RUN/model": lambda side: f"runs:{side.runs[0]}/model",
    "runs:/": lambda side: "runs:/",
    "RUNS:/RUN/model": lambda side: f"RUNS:/{side.runs[0]}/model",
    "mlflow-artifacts:/ of the run": lambda side: f"mlflow-artifacts:/{side.experiment}/{side.runs[0]}/artifacts/model",
    "mlflow-artifacts:/ of another run": lambda side: f"mlflow-artifacts:/{side.experiment}/{side.runs[1]}/artifacts/m",
    "mlflow-artifacts:/..": lambda side: f"mlflow-artifacts:/{side.experiment}/{side.runs[0]}/artifacts/../..",
    "models:/NAME/1": lambda side: f"models:/{SETTINGS['names']}/1",
    "models:/m-unknown": lambda side: "models:/m-" + UNKNOWN[0],
    "s3://bucket/model": lambda side: "s3://bucket/model",
    "https://example.com/model": lambda side: "https://example.com/model",
    "dbfs:/model": lambda side: "dbfs:/model",
    "file:///etc": lambda side: "file:///etc",
    "/etc": lambda side: "/etc",
    "model": lambda side: "model",
}


def create_version(side: Side, source: Callable[[Side], str], run: int | None) -> Answer:
    """Create a model version from a source, and read its download URI."""

    def create() -> Any:
        run_id = None if run is None else side.runs[run]
        made = side.client.create_model_version(SETTINGS["names"], source(side), run_id)
        where = side.client.get_model_version_download_uri(SETTINGS["names"], made.version)
        return [made.source, made.run_id, made.status, where]

    return client_says(side, create)


def sources() -> None:
    """Each with its run and without."""
    for what, source in SOURCES.items():
        add(f"source {what}", create_version, source, 0)
        add(f"source {what}, no run", create_version, source, None)


@question("version of runs:/RUN/model, downloaded by models:/NAME/VERSION")
def _(side: Side) -> Answer:
    import mlflow

    def fetch() -> Any:
        side.put("model/MLmodel", OLD)
        made = side.client.create_model_version(SETTINGS["names"], f"runs:/{side.runs[0]}/model", side.runs[0])
        mlflow.set_tracking_uri(side.url)
        mlflow.set_registry_uri(side.url)
        path = mlflow.artifacts.download_artifacts(
            f"models:/{SETTINGS['names']}/{made.version}", dst_path=tempfile.mkdtemp()
        )
        return [Path(path, "MLmodel").read_bytes().decode()]

    return client_says(side, fetch)


@question("register_model of runs:/RUN/model")
def _(side: Side) -> Answer:
    import mlflow

    def register() -> Any:
        mlflow.set_tracking_uri(side.url)
        mlflow.set_registry_uri(side.url)
        made = mlflow.register_model(f"runs:/{side.runs[0]}/model", SETTINGS["names"] + " again")
        return [made.source, made.run_id, made.version]

    return client_says(side, register)


# --- names of artifacts -------------------------------------------------------
NAMES = {
    "line feed": "%0A",
    "carriage return": "%0D",
    "NUL": "%00",
    "SOH": "%01",
    "tab": "%09",
    "unit separator": "%1F",
}
NAMES |= {"DEL": "%7F", "NEL": "%C2%85", "line separator": "%E2%80%A8", "line feed, written twice": "%250A"}
NAMES |= {"no UTF-8": "%FF", "backslash": "%5C", "hash": "%23", "question mark": "%3F", "colon": "%3A", "star": "%2A"}


NAMED: dict[str, Callable[[Side, str], Any]] = {
    "PUT": lambda side, name: side.ask(f"{side.root}/names/{name}", "PUT", data=OLD),
    "GET": lambda side, name: side.ask(f"{side.root}/names/{name}"),
    "DELETE": lambda side, name: side.ask(f"{side.root}/names/{name}", "DELETE"),
    "PUT of the UI": lambda side, name: side.ask(
        f"{UI}/upload-artifact?run_uuid={side.runs[0]}&path=ui/{name}", "POST", data=OLD
    ),
    "GET of the UI": lambda side, name: side.ask(f"/get-artifact?path=ui/{name}&run_uuid={side.runs[0]}"),
    "list": lambda side, name: side.ask(f"{API}/artifacts/list?run_id={side.runs[0]}&path=names/{name}"),
    "mpu/create": lambda side, name: side.ask(
        f"/api/2.0/mlflow-artifacts/mpu/create/{side.experiment}/{name}", "POST", json={"path": "x", "num_parts": 1}
    ),
    "presigned": lambda side, name: side.ask(f"/api/2.0/mlflow-artifacts/presigned/{side.experiment}/{name}"),
}


def named(side: Side, way: str, written: str) -> Answer:
    """Use an artifact with such a name."""
    answer = NAMED[way](side, f"a{written}b")
    return bytes_of(answer) if answer.ok and answer.content == OLD else answered(side, answer)


def names() -> None:
    """Characters that are not allowed or encoded in a name, on each route that takes a name."""
    for what, written in NAMES.items():
        for way in NAMED:
            add(f"name with {what}, {way}", named, way, written)


# --- what is not there ----------------------------------------------------------
NOTHING = {
    "GET /nothing": ("GET", "/nothing"),
    "GET of an unknown address of the API": ("GET", f"{API}/nothing"),
    "POST to a GET": ("POST", f"{API}/experiments/get"),
    "GET of a run that is not there": ("GET", f"{API}/runs/get?run_id={UNKNOWN[0]}"),
    "GET of a run without its id": ("GET", f"{API}/runs/get"),
    "GET of an artifact without its path": ("GET", "/get-artifact"),
    "GET of an artifact of no run": ("GET", f"/get-artifact?path=a&run_uuid={UNKNOWN[0]}"),
    "GET of an artifact that is not there": ("GET", f"{ARTIFACTS}/0/nothing/at/all"),
    "GET of a version's artifact without its name": ("GET", "/model-versions/get-artifact?path=a"),
}


def nothing(side: Side, method: str, address: str) -> Answer:
    """A request for something that does not exist."""
    return answered(side, side.ask(address, method))


@question("GET of a directory")
def _(side: Side) -> Answer:
    return answered(side, side.ask(f"{ARTIFACTS}/{side.experiment}"))


for what, (method, address) in NOTHING.items():
    add(what, nothing, method, address)
heads()
sources()
conditions()
names()


# --- both servers ---------------------------------------------------------------
def stock(port: int) -> subprocess.Popen[bytes]:
    """A server of the same release without anything of ours."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{os.getcwd()}/mlflow.db",
        "--artifacts-destination",
        f"{os.getcwd()}/store",
    ]
    # MLflow itself requires h11; the release has uvicorn's faster parser for its ASGI unit.
    command += ["--uvicorn-opts", "--http h11"]
    return subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Until it answers."""
    for _ in range(1200):
        assert server.poll() is None, "the stock server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the stock server does not answer")


def answers(side: Side) -> dict[str, Answer]:
    """The answers to all questions, one after the other."""
    return {name: ask(side) for name, ask in QUESTIONS.items()}


def main() -> None:
    """Start the stock server, ask both, print the answers."""
    CA.write_text(SETTINGS["certificates"])
    os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(CA)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = stock(port)
    try:
        ours = Side(SETTINGS["url"], tuple(SETTINGS["login"]))
        try:
            ours.begin()
            here = answers(ours)
        finally:
            ours.end()
        wait_for(server, port)
        theirs = Side(f"http://127.0.0.1:{port}", ours.login)
        theirs.begin()
        there = answers(theirs)
    finally:
        server.terminate()
        server.wait(30)
    print(json.dumps({name: {"stock": there[name], "here": here[name]} for name in QUESTIONS}))


main()
