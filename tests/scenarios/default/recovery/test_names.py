"""An artifact of any name, written by any route, is refused or in the next recovery point."""

from __future__ import annotations

import json
import ssl
import unicodedata
import uuid
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from tests.harness.artifacts import API

UPLOADING = ".artifact.uploading.x"
# Encoded for a URL; `{directory}` is one for this name alone.
NAMES = [
    # Names that copying tools exclude.
    "CACHEDIR.TAG", ".nobackup", ".no-backup", ".backupignore", ".exclude", ".resticignore", ".cache/x", ".git/config",
    ".gitignore", ".Trash-0/x", ".DS_Store", "Thumbs.db", "core", "x.bak", "x.tmp", "x~", "~x", "%23x%23", ".%23x", "x.swp",
    ".nfs0123", "x.lock", "lost+found/x", ".snapshot/x", ".snapshots/x", ".zfs/x", "node_modules/x", "__pycache__/x.pyc",
    "tmp/x", "proc/x", ".partial", "x.partial", "x.part", ".x.crdownload", ".volume-id", ".point/x",
    # Prefixes and spellings of the names of uploads in progress.
    UPLOADING, f"{UPLOADING}/x", f"a/{UPLOADING}/x", "%2Eartifact.uploading.x", "%252Eartifact.uploading.x/x",
    ".artifact%2Euploading%2Ex/y", ".artifact.uploading", ".artifact.uploading/x", ".artifact.uploading.",
    ".artifact.uploading./x", ".Artifact.Uploading.x", "x.artifact.uploading.x", "..artifact.uploading.x", ".artifact.uploadingx",
    # Patterns, options, quotes, signs.
    "*", "%2A", "x*y", "%5Bx%5D", "%5B", "%5B%21x%5D", "%3F", "%21x", "!x", "x%5C", "%5Cx", "x%5C%2Ay", "%7Bx%2Cy%7D", "%24HOME", "%24%7BHOME%7D",
    "-x", "--help", "--exclude=x", "%22x%22", "'x'", "%60x%60", "x%3By", "x&y", "x|y", "x%3Cy%3E", "x:y", "C%3A%5Cx", "%25x", "%2525",
    # Dots and slashes.
    ".x", "..x", "...", ".../x", "x.", "x..", "a//b", "a/./b", "a/../b", "%2E%2E/x", "a%2Fb", "x/", "/x", ".%2Fx", "a/%2E/b",
    # Spaces and control characters.
    "%20", "%20x", "x%20", "x%20y", "x+y", "%09", "x%0A", "%0Ax", "x%0Dy", "%1B%5B31mx", "x%7F", "%00", "x%00y", "x%01", "x%C2%85", "%08x",
    # Unicode: composed and not, invisible, right to left, outside the BMP, not in any encoding.
    quote(unicodedata.normalize("NFC", "é")), quote(unicodedata.normalize("NFD", "é")), quote("Å"), quote("\u212b"), quote("ﬁ"),
    quote("x\u202ey"), quote("\u200b"), quote("\ufeffx"), quote("\u2028"), quote("\U0001f600"), quote("\ufffd"), quote("\uffff"),
    "%FF", "x%FFy", "%C3%28", "%E9", "%C0%AE%C0%AE/x", "%ED%A0%80", "%F5%80%80%80", "%25FF", "%2525E9", "%C3", "%80%81",
    # Lengths.
    "x" * 255, "x" * 256, quote("é" * 127), quote("é" * 128), quote("\U0001f600" * 63), "/".join("d" * 60), "/".join(["y" * 90] * 9),
    # Names that look like numbers, devices, encodings of the point's own.
    "0", "con", "NUL", "manifest.json", "database.dump", "host/point.json", "x;type=a", "x%3Ftype=a", "x%26y",
]  # fmt: skip
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55\n# "

LISTS = """
import base64, json, os
from mlflowctl import stores
from mlflowctl.core import config
from mlflowctl.recovery.repository import Restic
c = config.load()
restic = Restic(c.recovery.repository())
point = restic.find("latest")
store = stores.artifacts.of(c).address
held = {e.path[len(store) + 1 :]: e.size for e in restic.entries(point.snapshot) if e.is_file and e.path.startswith(store + "/")}
live = {}
for directory, _, names in os.walk(os.fsencode(store)):
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            live[path[len(store) + 1 :].decode("utf-8", "backslashreplace")] = os.path.getsize(path)
print(json.dumps([held, live]))
"""


class Client:
    """Sends URLs as they are: libraries normalize them."""

    def __init__(self, server: Any, http: requests.Session) -> None:
        url = urlsplit(server.url)
        self._path = url.path
        login = http.prepare_request(requests.Request("GET", server.url)).headers["Authorization"]
        self._headers = {"Authorization": login, "Host": url.netloc, "Content-Type": "application/octet-stream"}
        context = ssl.create_default_context(cafile=server.ca)
        self._connection = HTTPSConnection(url.hostname or "", url.port or 443, context=context, timeout=60)

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """Status and body of an answer."""
        self._connection.request(method, self._path + path, body=body, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.fixture
def run(server: Any, http: Any) -> str:
    """A run, by its path below the store."""
    api = f"{server.url}/api/2.0/mlflow"
    experiment = http.post(f"{api}/experiments/create", json={"name": uuid.uuid4().hex}).json()["experiment_id"]
    created = http.post(f"{api}/runs/create", json={"experiment_id": experiment}).json()
    return str(created["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/"))


def test_what_is_accepted_is_in_the_point(control: Any, server: Any, http: Any, run: str) -> None:
    """Each name in its own directory, with a unique size, by each route that takes a name from a client."""
    client, accepted, wrong = Client(server, http), {}, []
    run_id = run.split("/")[-2]
    for number, name in enumerate(NAMES):
        # nginx handles a file of 1.5 MB differently from a small one.
        size = 1000 + number + (1_500_000 if number % 20 == 0 else 0)
        body = SIGNATURE.ljust(size, b"x")
        ways = {
            f"put{number}": ("PUT", f"{API}/{run}/put{number}/{name}"),
            f"ajax{number}": ("PUT", f"/ajax-{API[1:]}/{run}/ajax{number}/{name}"),
            f"page{number}": (
                "POST",
                f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=page{number}/{name.replace('&', '%26')}",
            ),
        }
        if number % 5:
            ways.pop(f"ajax{number}")  # the same way, under another name
        for directory, (method, path) in ways.items():
            status, message = client(method, path, body)
            if status in (200, 201, 204):
                accepted[f"{run}/{directory}/"] = (size, f"{method} {path}")
            # A malformed URL is refused before it is decoded.
            elif not (status in (400, 404) if method == "PUT" else 400 <= status < 500 and _is_json(message)):
                wrong.append(f"{method} {path[-300:]}: {status} {message[:200]}")
    # Some names mark their whole directory as excluded.
    for number in range(NAMES.index("core")):
        assert client("PUT", f"{API}/{run}/put{number}/beside", b"kept")[0] in (200, 201, 204)
    assert wrong == []
    assert len(accepted) > len(NAMES)

    facts = control.run("backup")
    held, live = control.python(LISTS)
    assert facts["lost"] == 0
    lost = [
        how
        for directory, (size, how) in accepted.items()
        if size not in [found for path, found in held.items() if path.startswith(directory)]
    ]
    assert lost == [], "accepted, and in no recovery point"
    assert {path: size for path, size in live.items() if held.get(path) != size} == {}
    # No file has a name that is not valid text: points are compared as text.
    assert [path for path in held if "\\x" in path and path not in live] == []
    # Other tests of the host leave rows whose artifacts never existed, because of which it exits with 1.
    assert json.loads(control.host.run("mlflowctl verify latest --json").stdout)["lost"] == []


@pytest.mark.parametrize("name", [UPLOADING, "\udcff", "caf\udce9", "x" * 300, "a/../../b", "CACHEDIR.TAG"])
def test_no_upload_in_parts_makes_a_name(server: Any, http: Any, run: str, name: str) -> None:
    """A store on this host does not accept multipart uploads, with any name."""
    for step in ("create", "complete", "abort"):
        url = f"{server.url}/api/2.0/mlflow-artifacts/mpu/{step}/{run}"
        asked = {"path": name, "num_parts": 1, "upload_id": "x", "parts": []}
        answer = http.post(url, data=json.dumps(asked), headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 502, answer.text
        assert answer.json()


def _is_json(text: str) -> bool:
    """Whether MLflow's client shows it."""
    try:
        return bool(json.loads(text))
    except ValueError:
        return False
