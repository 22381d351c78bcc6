"""The servers of the alternative host's repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.control import control

SERVE = (
    "systemd-run --quiet --unit=test-vault rclone serve restic --append-only --addr 127.0.0.1:8500"
    " --user tracking --pass of-the-vault /srv/vault"
)
WEED = Path(__file__).parents[4] / ".venv-cloud" / "bin" / "weed"
CLOUD = """
set -e
mkdir -p /srv/cloud && cd /srv/cloud
echo '{"identities": [{"name": "tracking", "actions": ["Admin", "Read", "Write", "List"],
    "credentials": [{"accessKey": "tracking", "secretKey": "of-the-cloud"}]}]}' > s3.json
systemd-run --quiet --collect --unit=test-cloud /srv/weed server -dir=/srv/cloud -ip=127.0.0.1 -ip.bind=127.0.0.1 \\
    -s3 -s3.config=/srv/cloud/s3.json -master.volumeSizeLimitMB=64 -volume.max=30 -volume.preStopSeconds=1
timeout 60 sh -c 'until curl --silent --output /dev/null http://127.0.0.1:8333/; do sleep 0.2; done'
"""
KEYS = """
set -e
mkdir -p /root/.ssh /srv/vault && chmod 700 /root/.ssh
[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
systemctl start ssh.service
for host in localhost 127.0.0.1; do
    echo "$host $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >> /root/.ssh/known_hosts
done
"""


@pytest.fixture(scope="module")
def servers(host: Any) -> Iterator[None]:
    """The servers of the repositories run while the tests do."""
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get -qq install curl rclone openssh-server >/dev/null")
    name = host.ansible.get_variables()["inventory_hostname"]
    subprocess.run(["docker", "cp", WEED, f"{name}:/srv/weed"], check=True, capture_output=True)
    host.check_output(CLOUD)
    host.check_output(KEYS)
    host.check_output(SERVE)
    try:
        yield
    finally:
        host.check_output("systemctl stop test-vault.service test-cloud.service ssh.service; rm /srv/cloud/s3.json")


@pytest.fixture(scope="module")
def point(host: Any, servers: None) -> str:
    """A point in all repositories."""
    return str(control(host, "backup")["point"])
