"""Our code around MLflow, without MLflow: settings and middleware."""

from __future__ import annotations

import errno
import importlib
import io
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow_host.artifacts import names, volume
from mlflow_host.core import settings
from mlflow_host.patches.speed import no_login
from mlflow_host.service import body, ready


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for MLflow with only its server constants."""
    server = tmp_path / "mlflow" / "server"
    server.mkdir(parents=True)
    (tmp_path / "mlflow" / "__init__.py").touch()
    (server / "__init__.py").write_text("raise RuntimeError('imported too early')")
    names = settings.SERVER_CONSTANTS.values()
    (server / "constants.py").write_text("\n".join(f"{name} = '_{name}'" for name in names))
    monkeypatch.syspath_prepend(str(tmp_path))
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in settings.CREDENTIALS:
        (credentials / name).write_text(f"secret of {name}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    for name in settings.SERVER_CONSTANTS:
        monkeypatch.setenv(name, f"value of {name}")
    for variable in settings.CREDENTIALS.values():
        monkeypatch.delenv(variable, raising=False)
    return server


def test_settings_reach_mlflow_under_its_own_names(package: Path) -> None:
    """Options and secrets are set before anything of MLflow is imported."""

    settings.apply()
    assert os.environ["_BACKEND_STORE_URI_ENV_VAR"] == "value of MLFLOW_BACKEND_STORE_URI"
    assert os.environ["MLFLOW_CRYPTO_KEK_PASSPHRASE"] == "secret of kek_passphrase"


def test_a_renamed_constant_fails_loudly(package: Path) -> None:
    """A later MLflow that renames a setting must not be started without it."""
    text = (package / "constants.py").read_text()
    (package / "constants.py").write_text(text.replace("ARTIFACT_ROOT_ENV_VAR =", "RENAMED ="))
    with pytest.raises(settings.SettingsError, match="ARTIFACT_ROOT_ENV_VAR"):
        settings.apply()


def test_a_missing_secret_fails_loudly(package: Path) -> None:
    """Without a key MLflow would encrypt with a published default."""
    (package.parents[1] / "credentials" / "kek_passphrase").unlink()
    with pytest.raises(settings.SettingsError, match="kek_passphrase"):
        settings.apply()


def ask(checks: dict[str, Any], path: str = "/ready") -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of a request to the middleware."""
    seen: list[Any] = []
    application = ready.Ready(lambda environ, start: [b"mlflow"], checks)

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        seen.extend((status, dict(headers)))

    content = b"".join(application({"PATH_INFO": path}, start))
    return (seen[0], seen[1], content) if seen else ("", {}, content)


def test_ready_and_not_ready() -> None:
    """200 if all checks pass, else 503 with Retry-After; the reason stays in the journal."""

    def broken() -> None:
        raise RuntimeError("password=hunter2")

    assert ask({"database": lambda: None})[0] == "200 OK"
    status, headers, content = ask({"database": broken, "volume": lambda: None})
    assert status.startswith("503")
    assert headers["Retry-After"] == "5"
    assert json.loads(content) == {"ready": False, "checks": {"database": "failed", "volume": "ok"}}
    assert b"hunter2" not in content


def test_a_volume_that_is_not_there_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """For any number of requests, without a traceback; again for another reason, or at the next outage."""
    reasons = ["no sentinel", "no sentinel", "another volume", "", "another volume"]

    def check() -> None:
        if reason := reasons.pop(0):
            raise volume.VolumeError(reason)

    application = ready.Ready(lambda environ, start: [], {"volume": check})
    while reasons:
        list(application({"PATH_INFO": "/ready"}, lambda *_: lambda _: None))
    assert [record.getMessage() for record in caplog.records] == [
        "not ready: volume: no sentinel",
        *["not ready: volume: another volume"] * 2,
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_other_paths_go_to_mlflow() -> None:
    """The middleware only answers /ready."""
    assert ask({}, "/ready/x")[2] == b"mlflow"


@pytest.mark.parametrize("size", [0, 7, 3 * body.PIECE_BYTES + 1])
def test_a_request_is_read_before_it_is_answered(size: int) -> None:
    """Also when MLflow refuses it without reading: no byte of it may remain on the connection."""
    sent = io.BytesIO(b"x" * size)
    application: Any = body.ReadToTheEnd(lambda environ, start: [b"refused"])
    assert application({"wsgi.input": sent}, None) == [b"refused"]
    assert sent.tell() == size


def test_mlflows_authentication_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import fails as if the module did not exist, and none of its code runs."""
    package = tmp_path / "mlflow" / "server"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "auth.py").write_text("raise AssertionError('it was run')")
    (package / "handlers.py").write_text("from mlflow.server import auth")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mlflow", "mlflow.server", "mlflow.server.handlers", no_login.MODULE):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    no_login.apply()
    with pytest.raises(ImportError):
        importlib.import_module("mlflow.server.handlers")


@pytest.mark.parametrize(
    ("code", "answered"),
    [
        (errno.EISDIR, True),
        (errno.ENOTDIR, True),
        (errno.ENAMETOOLONG, True),
        (errno.ENOSPC, False),
        (errno.EACCES, False),
    ],
)
def test_only_errors_of_names_are_the_clients(monkeypatch: pytest.MonkeyPatch, code: int, answered: bool) -> None:
    """A full disk is still a server error."""

    class Said(Exception):
        def serialize_as_json(self) -> str:
            return json.dumps({"message": self.args[0]})

        def get_http_status_code(self) -> int:
            return 400

    exceptions, codes = ModuleType("mlflow.exceptions"), ModuleType("mlflow.protos.databricks_pb2")
    exceptions.MlflowException, codes.INVALID_PARAMETER_VALUE = Said, 1000  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    monkeypatch.setitem(sys.modules, "mlflow.protos.databricks_pb2", codes)
    error = OSError(code, os.strerror(code), "/tmp/x")
    if not answered:
        with pytest.raises(OSError, match=os.strerror(code)):
            names.refused(error)
        return
    body, status, headers = names.refused(error)
    assert (status, headers) == (400, {"Content-Type": "application/json"})
    assert "/tmp" not in body
