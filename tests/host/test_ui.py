"""The files of MLflow's UI, which nginx serves from the installed release."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest
import requests


@pytest.fixture(scope="module")
def release(host: Any, server: Any) -> dict[str, Any]:
    """The description of the installed release."""
    text = host.file(f"{server['mlflow_root_path']}/current/release.json").content_string
    return dict(json.loads(text))


@pytest.fixture(scope="module")
def folder(server: Any, release: dict[str, Any]) -> str:
    """The directory of the files on the host."""
    return f"{server['mlflow_root_path']}/current/{release['ui_path']}"


def test_every_file_is_served_with_a_type_that_browsers_accept(host: Any, server: Any, http: Any, folder: str) -> None:
    """With nosniff a script with a wrong type would not run. nginx's default type is never used."""
    found = host.check_output(f"cd {folder} && find . -type f ! -name '*.gz' ! -name '*.br' -printf '%P %s\\n'")
    sizes = {name: int(size) for name, _, size in (line.rpartition(" ") for line in found.splitlines())}
    assert len(sizes) > 100
    kinds = {}
    for name, size in sizes.items():
        answer = http.head(f"{server.url}/static-files/{name}", headers={"Accept-Encoding": "identity"})
        assert (answer.status_code, int(answer.headers["Content-Length"])) == (200, size), name
        kinds[name.rpartition(".")[2]] = answer.headers["Content-Type"]
    assert kinds["js"] == kinds["mjs"] == "text/javascript"
    assert kinds["css"] == "text/css"
    assert "application/octet-stream" not in kinds.values(), kinds


def test_what_is_sent_compressed_is_the_same_file(server: Any, http: Any, host: Any, folder: str) -> None:
    """gzip and brotli, compressed when the release was installed; small: a third at most."""
    name = re.findall(r"static-files/(static/js/main\.[0-9a-f]+\.js)", http.get(server.url + "/").text)[0]
    plain = host.file(f"{folder}/{name}").content
    url = f"{server.url}/static-files/{name}"
    assert http.get(url, headers={"Accept-Encoding": "identity"}).content == plain
    for encoding in ("gzip", "br"):
        answer = http.get(url, headers={"Accept-Encoding": encoding}, stream=True)
        assert answer.headers["Content-Encoding"] == encoding
        assert "Accept-Encoding" in answer.headers["Vary"]
        sent = answer.raw.read(decode_content=False)
        assert len(sent) < len(plain) / 3
        if encoding == "gzip":
            assert gzip.decompress(sent) == plain
        else:
            assert sent == host.file(f"{folder}/{name}.br").content


def test_browsers_keep_what_cannot_change(server: Any, http: Any) -> None:
    """A name with a digest is kept for good, in this browser only; others are revalidated."""
    page = http.get(server.url + "/").text
    script = re.findall(r"static-files/static/js/main\.[0-9a-f]+\.js", page)[0]
    assert "immutable" in http.get(f"{server.url}/{script}").headers["Cache-Control"]
    assert "private" in http.get(f"{server.url}/{script}").headers["Cache-Control"]
    assert http.get(f"{server.url}/static-files/favicon.ico").headers["Cache-Control"] == "no-cache"
    assert http.get(f"{server.url}/static-files/missing.js").status_code == 404
    assert "immutable" not in http.get(f"{server.url}/static-files/missing.js").headers.get("Cache-Control", "")


def test_nothing_but_the_ui_is_served(server: Any, http: Any, anonymous: Any) -> None:
    """Not other files of the release, and not without a login."""
    for path in (
        "/static-files/../../handlers.py",
        "/static-files/%2e%2e/%2e%2e/handlers.py",
        "/static-files../handlers.py",
    ):
        request = http.prepare_request(requests.Request("GET", server.url))
        request.url = server.url + path
        assert http.send(request, verify=server.ca).status_code in (400, 404), path
    assert anonymous.get(f"{server.url}/static-files/favicon.ico").status_code == 401
