"""Symbolic links in the artifact store, as MLflow's account could create them: none leads out of the store."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.artifacts import API


@dataclass(frozen=True)
class Folder:
    """A directory of artifacts: its URL, its path on the host, and a function that runs a command there as MLflow's account."""

    address: str
    path: str
    host: Any
    account: str

    def link(self, name: str, target: str) -> None:
        """Create a symbolic link in it, as MLflow's account."""
        self.host.check_output(f"{self.account} ln --symbolic {target} {self.path}/{name}")


@pytest.fixture
def folder(server: Any, host: Any, root: str) -> Folder:
    """A directory with a directory in it, created by MLflow's account."""
    path = f"{server['mlflow_volume_path']}/store{root.removeprefix(server.url + API)}"
    user = server["mlflow_user"]
    account = f"setpriv --reuid {user} --regid {user} --groups {server.unit}-artifacts --"
    host.check_output(f"{account} sh -c 'umask 0007 && mkdir --parents {path}/real'")
    return Folder(root, path, host, account)


def test_no_link_is_read_that_leaves_the_store(server: Any, host: Any, http: Any, folder: Folder) -> None:
    """A file, a directory, a link to a link, a relative one, one further up: none of their targets can be read."""
    name = server.login[0]
    folder.link("file", "/etc/passwd")
    folder.link("relative", "../" * (folder.path.count("/") + 1) + "etc/passwd")
    folder.link("again", "file")
    folder.link("folder", "/etc")
    folder.link("real/folder", "/etc")
    folder.link("login", f"/var/lib/{server.unit}-proxy/logins/passwords/{name}")
    folder.link("remembered", f"/run/{server.unit}-proxy/login")
    folder.link("settings", f"/etc/nginx/{server.unit}")
    folder.link("sentinel", f"{server['mlflow_volume_path']}/.volume-id")
    cached = host.run(f"cd /run/{server.unit}-proxy/login && find . -type f | head -n 3").stdout.split()
    for path in [
        *("file", "relative", "again", "folder/passwd", "real/folder/passwd", "login", "settings/tls.conf", "sentinel"),
        *(f"remembered/{file}" for file in cached),
    ]:
        for method in ("GET", "HEAD"):
            answer = http.request(method, f"{folder.address}/{path}")
            assert answer.status_code in (400, 403, 404, 500), (method, path)
            assert "root:" not in answer.text, path


def test_a_link_within_the_store_is_as_mlflow_has_it(server: Any, host: Any, http: Any, folder: Folder) -> None:
    """MLflow handles every path with a link; nginx none."""
    assert http.put(f"{folder.address}/real/file", data=b"content").ok
    folder.link("inside", "real/file")
    folder.link("folder", "real")
    ready = f"/run/{server.unit}-service/volume-is-right"
    paths = ("inside", "folder/file", "folder", "folder/none")
    fast = [http.get(f"{folder.address}/{path}") for path in paths]
    host.check_output(f"mv {ready} {ready}.aside")
    try:
        slow = [http.get(f"{folder.address}/{path}") for path in paths]
    finally:
        host.check_output(f"mv {ready}.aside {ready}")
    assert [(one.status_code, one.content) for one in fast] == [(one.status_code, one.content) for one in slow]


@pytest.mark.parametrize(
    "target",
    ["/var/lib/nginx/body", "/run/{unit}-proxy/login/cache", "/run/{unit}-uploads", "{volume}/incoming", "{open}"],
)
def test_nothing_is_written_through_a_link(server: Any, host: Any, http: Any, folder: Folder, target: str) -> None:
    """Not where nginx may write, not where everybody may, not in a directory that does not exist yet."""
    # Its name on the host is unique, and it is visible to services.
    anybody = f"/srv/{uuid.uuid4().hex}"
    host.check_output(f"install --directory --mode=1777 {anybody}")
    target = target.format(unit=server.unit, volume=server["mlflow_volume_path"], open=anybody)
    folder.link("folder", target)
    folder.link("real/folder", target)
    folder.link("file", f"{target}/planted-file")
    folder.link("up", "..")
    name = f"planted-{uuid.uuid4().hex}"
    below = ("folder", "real/folder", "folder/new/deeper", "real/folder/new", "up/artifacts/folder", "new/../folder")
    for path in [*(f"{path}/{name}" for path in below), "file"]:
        for size in (1, 2_000_000):
            http.put(f"{folder.address}/{path}", data=b"x" * size)
    found = host.check_output(f"find {target} -name 'planted-*' -o -name new")
    host.check_output(f"rm --recursive --force {anybody} {target}/planted-* {target}/new")
    assert found == ""


def test_the_kernel_refuses_hard_links_to_the_files_of_others(server: Any, host: Any, folder: Folder) -> None:
    """A hard link looks like any file; MLflow's account must not create one to another owner's file."""
    sentinel = f"{server['mlflow_volume_path']}/.volume-id"
    refused = host.run(f"{folder.account} ln {sentinel} {folder.path}/hard")
    assert "Operation not permitted" in refused.stderr


def test_directories_are_made_at_any_depth(http: Any, root: str) -> None:
    """Without a link in the path nginx creates as many as needed, also more than it checks one by one."""
    for depth in (0, 1, 3, 6, 9, 40):
        path = f"{root}/{'d/' * depth}"
        assert http.put(f"{path}one", data=b"one").ok
        assert http.put(f"{path}two", data=b"two").ok
        assert http.get(f"{path}one").content + http.get(f"{path}two").content == b"onetwo"
