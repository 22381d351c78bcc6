"""Our code around MLflow, without MLflow."""

from __future__ import annotations

import importlib
import io
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_host import (
    body,
    metrics,
    new_runs,
    no_login,
    ping,
    prepared,
    ready,
    room,
    sessions,
    settings,
    volume,
)


@pytest.fixture
def disk(tmp_path: Path) -> volume.Volume:
    """A volume as it should be."""
    mount = tmp_path / "volume"
    (mount / "store").mkdir(parents=True)
    (mount / ".volume-id").write_text("abc\n")
    (tmp_path / "volume-id").write_text("abc\n")
    return volume.Volume(mount, tmp_path / "volume-id")


def test_a_good_volume_passes_and_keeps_nothing(disk: volume.Volume) -> None:
    """The write probe leaves no file behind."""
    volume.check(disk)
    assert list(disk.store.iterdir()) == []


def test_nginx_is_told_when_there_is_no_room(disk: volume.Volume, tmp_path: Path) -> None:
    """The mark comes and goes with the room, at most once a second; a volume that is away changes nothing."""
    mark = tmp_path / room.FULL
    everything = 1 << 80
    for path, reserve, there in ((disk.path, everything, True), (tmp_path / "away", 0, True), (disk.path, 0, False)):
        looking = room.Room(path, reserve, mark)
        looking.look()
        assert mark.exists() is there
    looking.reserve = everything
    looking.look()
    assert not mark.exists()


def test_a_volume_that_is_away_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And again when it went away once more."""
    monkeypatch.setattr(room, "BETWEEN_LOOKS", 0)
    looking = room.Room(tmp_path / "volume", 0, tmp_path / room.FULL)
    for there, said in ((False, 1), (False, 1), (True, 1), (False, 2)):
        if there:
            looking.volume.mkdir()
        elif looking.volume.exists():
            looking.volume.rmdir()
        looking.look()
        assert caplog.text.count("cannot tell how much room") == said


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda disk: (disk.path / ".volume-id").unlink(), "is the artifact volume mounted?"),
        (lambda disk: (disk.path / ".volume-id").write_text("other"), "mount the right volume"),
        (lambda disk: disk.store.rmdir(), "cannot write"),
        (lambda disk: disk.id_file.unlink(), "cannot read"),
    ],
)
def test_a_bad_volume_is_refused(disk: volume.Volume, harm: Any, said: str) -> None:
    """Missing, wrong and unwritable volumes are told apart."""
    harm(disk)
    with pytest.raises(volume.VolumeError, match=said.replace("?", r"\?")):
        volume.check(disk)


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
    import os

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


def test_other_paths_go_to_mlflow() -> None:
    """Only /ready is ours."""
    assert ask({}, "/ready/x")[2] == b"mlflow"


def test_a_right_volume_opens_it_to_nginx(disk: volume.Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the right volume, and only where systemd has made a runtime directory for it."""
    monkeypatch.setenv("MLFLOW_VOLUME_PATH", str(disk.path))
    monkeypatch.setenv("MLFLOW_VOLUME_ID_FILE", str(disk.id_file))
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    assert volume.main() == 0
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    (disk.path / ".volume-id").write_text("other")
    assert volume.main() == 1
    assert list(runtime.iterdir()) == []
    (disk.path / ".volume-id").write_text("abc")
    assert volume.main() == 0
    assert [path.name for path in runtime.iterdir()] == [volume.RIGHT]


@pytest.mark.parametrize("size", [0, 7, 3 * body.PIECE_BYTES + 1])
def test_a_request_is_read_before_it_is_answered(size: int) -> None:
    """Also when MLflow refuses it unread: no byte of it may be left on the connection."""
    sent = io.BytesIO(b"x" * size)
    application: Any = body.ReadToTheEnd(lambda environ, start: [b"refused"])
    assert application({"wsgi.input": sent}, None) == [b"refused"]
    assert sent.tell() == size


class Connection:
    """What psycopg2 shows of a connection."""

    def __init__(self, end: socket.socket) -> None:
        self.closed = 0
        self.fileno = end.fileno


def test_a_connection_that_heard_something_is_not_used() -> None:
    """A word of goodbye, a closed socket, or one that we have closed: the pool makes a new one."""
    ours, servers = socket.socketpair()
    connection = Connection(ours)
    assert ping.alive(None, connection)
    servers.send(b"terminating connection due to administrator command")
    assert not ping.alive(None, connection)
    ours.recv(100)
    assert ping.alive(None, connection)
    servers.close()
    assert not ping.alive(None, connection)
    connection.closed = 1
    ours.close()
    assert not ping.alive(None, connection)


def test_mlflows_own_login_is_never_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import fails as if the module were not there, and nothing of it is run."""
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


def test_the_last_commit_marks_nothing() -> None:
    """Right before it the session is told so; commits in the middle, and sessions that failed, are as before."""
    marked = []

    @contextmanager
    def make(read_only: bool = True) -> Iterator[Any]:
        session = SimpleNamespace(expire_on_commit=True, read_only=read_only)
        try:
            yield session
        finally:
            marked.append(session.expire_on_commit)

    with sessions.ending(make)(read_only=False) as session:
        assert session.expire_on_commit
        assert not session.read_only
    with pytest.raises(KeyError), sessions.ending(make)():
        raise KeyError
    assert marked == [False, True]


class Store:
    """Stands for MLflow's, which nothing may be asked of here."""

    db_type = "postgresql"


class OtherStore(Store):
    """One that asks for more, as that of workspaces does."""


def test_other_stores_go_mlflows_way() -> None:
    """So do other databases, and what MLflow has the words for."""

    def original(_self: Any, *given: Any) -> Any:
        return given

    log = metrics.in_one_statement(original, Store, None)
    create = new_runs.with_less(original, Store, [], None)
    lite = Store()
    lite.db_type = "sqlite"
    assert log(OtherStore(), "run", ["metric"]) == ("run", ["metric"])
    assert log(lite, "run", ["metric"]) == ("run", ["metric"])
    assert log(Store(), "run", []) == ("run", [])
    assert create(OtherStore(), "1", "someone") == ("1", "someone")
    assert create(lite, "1", "someone") == ("1", "someone")
    for wrong in ("", "x", " 1", "1e3", "\u0663", str(2**31)):
        assert create(Store(), wrong, "someone") == (wrong, "someone")


class Database:
    """Stands for SQLAlchemy's engine and connection: remembers what it was told."""

    def __init__(self, refuses: str, code: str) -> None:
        self.info: dict[str, bool] = {}
        self.told: list[tuple[Any, ...]] = []
        self.refuses, self.error = refuses, RuntimeError(code)
        self.error.orig = SimpleNamespace(pgcode=code)  # type: ignore[attr-defined]

    def execution_options(self, isolation_level: str) -> Database:
        """Nothing else will do: there is nobody who ends a transaction."""
        assert isolation_level == "AUTOCOMMIT"
        return self

    @contextmanager
    def connect(self) -> Iterator[Database]:
        """There is one connection."""
        yield self

    def exec_driver_sql(self, *given: Any) -> Any:
        """Refuse what begins so."""
        self.told.append(given)
        if self.refuses and given[0].startswith(self.refuses):
            raise self.error
        return SimpleNamespace(returns_rows=len(given) > 1, all=lambda: [(6,)])


SUM = ("SELECT {b} + {a} + {b}", {"a": "bigint", "b": "integer"})
PREPARE = ("PREPARE one (bigint, integer) AS SELECT $2 + $1 + $2",)
VALUES = {"a": 1, "b": 2}
EXECUTE = ("EXECUTE one (%(a)s, %(b)s)", VALUES)
IN_FULL = ("SELECT CAST(%(b)s AS integer) + CAST(%(a)s AS bigint) + CAST(%(b)s AS integer)", VALUES)


@pytest.mark.parametrize(
    ("refuses", "code", "told"),
    [
        ("", "", [PREPARE, EXECUTE, EXECUTE]),
        ("EXECUTE", "26000", [PREPARE, EXECUTE, IN_FULL, IN_FULL]),
        ("PREPARE", "42P05", [PREPARE, IN_FULL, IN_FULL]),
    ],
)
def test_a_statement_is_prepared_once_for_each_connection(refuses: str, code: str, told: list[Any]) -> None:
    """Where what was prepared is not kept, as by a pooler, it is said in full."""
    database = Database(refuses, code)
    statement = prepared.Prepared("one", *SUM)
    assert [statement.execute(database, VALUES) for _ in range(2)] == [[(6,)], [(6,)]]
    assert database.told == told


def test_a_statement_that_fails_is_not_said_again() -> None:
    """Nobody knows whether it was executed."""
    database = Database("EXECUTE", "57P01")
    with pytest.raises(RuntimeError, match="57P01"):
        prepared.Prepared("one", *SUM).execute(database, VALUES)
    assert database.told == [PREPARE, EXECUTE]
