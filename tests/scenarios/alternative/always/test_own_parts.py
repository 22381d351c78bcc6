"""The user's own device, certificate, keys and settings are used."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests


def variables(host: Any) -> dict[str, Any]:
    """The variables of the host in the scenario's inventory."""
    found: dict[str, Any] = host.ansible.get_variables()
    return found


def test_the_device_is_the_volume(host: Any) -> None:
    """The blank device carries the artifact volume, without devices, set-uid files or programs, by UUID."""
    settings = variables(host)
    mount = host.mount_point(settings["mlflow_volume_path"])
    assert mount.exists
    filesystem = settings["mlflow_volume_filesystem"]
    assert mount.filesystem == filesystem
    assert {"nodev", "nosuid", "noexec"} <= set(mount.options)
    uuid = host.check_output("blkid --probe --match-tag UUID --output value %s", settings["mlflow_volume_device"])
    assert f"UUID={uuid} {settings['mlflow_volume_path']} {filesystem}" in host.file("/etc/fstab").content_string


def test_nothing_starts_without_the_volume(host: Any) -> None:
    """Without its volume MLflow writes nothing into the empty mount point; with it, it comes back."""
    settings = variables(host)
    unit, path = settings["mlflow_unit"], settings["mlflow_volume_path"]
    host.check_output("systemctl stop %s.target %s.service %s-asgi.service", unit, unit, unit)
    host.check_output("umount %s && mv /etc/fstab /etc/fstab.away && systemctl daemon-reload", path)
    try:
        assert host.run("systemctl start %s.service", unit).rc != 0
        assert not host.file(path).listdir()
        message = host.check_output("journalctl --no-pager --boot --unit %s.service", unit)
        assert "refusing to start" in message
        assert ".volume-id" in message
    finally:
        host.check_output("mv /etc/fstab.away /etc/fstab && systemctl daemon-reload && mount %s", path)
        host.run_test("systemctl reset-failed")
        host.check_output("systemctl start %s.socket %s-asgi.socket %s.service %s.target", unit, unit, unit, unit)
    assert host.service(f"{unit}.service").is_running


def test_the_users_certificate_is_served(host: Any) -> None:
    """nginx presents exactly the given certificate."""
    url = urlsplit(variables(host)["mlflow_public_url"])
    own = Path(os.environ["CERTIFICATES"], "server.crt")
    served = ssl.get_server_certificate((str(url.hostname), url.port or 443), timeout=10)
    assert served.split() == own.read_text().split()


def test_the_users_passphrase_is_the_key(host: Any) -> None:
    """MLflow encrypts secrets with the given passphrase, not with a generated one."""
    settings = variables(host)
    path = f"{settings['mlflow_config_path']}/secrets/kek_passphrase"
    assert host.file(path).content_string.strip() == settings["mlflow_kek_passphrase"]
    assert host.file(path).mode == 0o600


def test_further_settings_reach_the_process(host: Any) -> None:
    """The running programs use the values of mlflow_settings and mlflow_postgres_settings."""
    settings = variables(host)
    pid = host.check_output("systemctl show --property MainPID --value %s.service", settings["mlflow_unit"])
    environment = host.file(f"/proc/{pid}/environ").content_string.split("\0")
    assert "MLFLOW_LOGGING_LEVEL=WARNING" in environment
    shown = host.check_output("runuser -u postgres -- psql -qAt -c 'show work_mem'")
    assert shown == "5MB"


def test_a_full_volume_takes_nothing(host: Any) -> None:
    """An upload that does not fit is refused and leaves nothing, neither under its name nor elsewhere; with enough space it works."""
    settings = variables(host)
    volume = settings["mlflow_volume_path"]
    own = Path(os.environ["CERTIFICATES"], "server.crt")
    user = settings["mlflow_users"][0]
    address = f"{settings['mlflow_public_url']}/api/2.0/mlflow-artifacts/artifacts/full/file"
    with requests.Session() as session:
        session.trust_env, session.verify, session.auth = False, str(own), (user["name"], user["password"])
        assert session.put(address, data=b"before").status_code == 201
        host.run("dd if=/dev/zero of=%s/fill bs=1M status=none", volume)
        try:
            assert session.put(address, data=b"x" * 50_000_000).status_code in (500, 507)
            assert session.get(address).content == b"before"
            assert host.check_output("find %s/incoming -type f", volume) == ""
        finally:
            host.check_output("rm %s/fill && sync", volume)
        assert session.put(address, data=b"x" * 50_000_000).status_code == 204
        assert session.delete(address).ok
