"""Bad input is refused before the first change, by a message that names variable, value and fix."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.hosts.playbook import run_playbook

GOOD = "correct-horse-battery"


def user(name: str = "ada", **more: str) -> dict[str, str]:
    """One user with a good password, unless told otherwise."""
    return {"name": name, "password": GOOD} | more


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    # --- the public URL
    (
        "scheme",
        {"mlflow_public_url": "http://mlflow.example.com"},
        ["mlflow_public_url", "http://mlflow.example.com", "must begin with https://"],
    ),
    (
        "port",
        {"mlflow_public_url": "https://mlflow.example.com:99999"},
        ["mlflow_public_url", ":99999", "from 1 to 65535"],
    ),
    ("path", {"mlflow_public_url": "https://mlflow.example.com/mlflow"}, ["mlflow_public_url", "/mlflow", "path"]),
    ("slash", {"mlflow_public_url": "https://mlflow.example.com/"}, ["mlflow_public_url", "closing slash"]),
    (
        "login in URL",
        {"mlflow_public_url": "https://a:b@mlflow.example.com"},
        ["mlflow_public_url", "user name or password"],
    ),
    ("host", {"mlflow_public_url": "https://ml_flow!/"}, ["mlflow_public_url", "DNS name"]),
    ("empty URL", {"mlflow_public_url": ""}, ["mlflow_public_url", "https://"]),
    # --- names of variables
    ("unknown variable", {"mlflow_verison": "3"}, ["mlflow_verison", "Did you mean mlflow_version?"]),
    # --- users
    ("no users", {"mlflow_users": []}, ["mlflow_users", "empty"]),
    ("colon", {"mlflow_users": [user("a:b")]}, ["mlflow_users", "a:b", "no colon"]),
    ("line break", {"mlflow_users": [user("a\nb")]}, ["mlflow_users", "line break"]),
    ("twice", {"mlflow_users": [user(), user()]}, ["mlflow_users", "ada", "2 times", "keep one"]),
    ("weak", {"mlflow_users": [user(password="hunter2")]}, ["mlflow_users", "ada", "weak", "12 or more"]),
    ("empty password", {"mlflow_users": [user(password="")]}, ["mlflow_users", "ada", "empty"]),
    ("no password", {"mlflow_users": [{"name": "ada"}]}, ["mlflow_users", "ada", "exactly one"]),
    (
        "plain hash",
        {"mlflow_users": [{"name": "ada", "password_hash": "{PLAIN}x"}]},
        ["mlflow_users", "ada", "openssl passwd -6"],
    ),
    # --- the volume
    (
        "volume in /home",
        {"mlflow_volume_path": "/home/mlflow/artifacts"},
        ["mlflow_volume_path", "/home/mlflow/artifacts", "/srv/mlflow"],
    ),
    ("volume is /", {"mlflow_volume_path": "/"}, ["mlflow_volume_path", "'/'", "two levels"]),
    ("relative volume", {"mlflow_config_path": "etc/mlflow"}, ["mlflow_config_path", "etc/mlflow", "absolute"]),
    (
        "read-only volume",
        {"mlflow_volume_path": "/mnt/read-only"},
        ["mlflow_volume_path", "/mnt/read-only", "read-write"],
    ),
    (
        "volume is a file",
        {"mlflow_volume_path": "/srv/a-file"},
        ["mlflow_volume_path", "/srv/a-file", "not a directory"],
    ),
    ("no device", {"mlflow_volume_device": "/dev/nothing"}, ["mlflow_volume_device", "/dev/nothing", "lsblk"]),
    # --- the host
    ("memory", {"mlflow_minimum_memory_mb": 99999999}, ["mlflow_minimum_memory_mb", "99999999", "more RAM"]),
    ("disk", {"mlflow_minimum_disk_mb": 999999999}, ["mlflow_minimum_disk_mb", "999999999", "free some space"]),
    # --- the release
    ("no lock file", {"mlflow_version": "2.0.0"}, ["mlflow_version", "2.0.0", "Use one of 3.17.2"]),
    # --- names and numbers
    ("unit name", {"mlflow_unit": "My Flow"}, ["mlflow_unit", "My Flow", "lower-case"]),
    ("workers", {"mlflow_workers": 0}, ["mlflow_workers", "0", "from 1 to 128"]),
    ("not a number", {"mlflow_workers": "many"}, ["mlflow_workers", "many"]),
    ("root as user", {"mlflow_user": "root"}, ["mlflow_user", "root", "user of its own"]),
    (
        "archive path",
        {"postgres_wal_archive_path": "wal"},
        ["postgres_wal_archive_path", "'wal'", "absolute path"],
    ),
    (
        "weak archive password",
        {"postgres_wal_archive_password": "hunter2"},
        ["postgres_wal_archive_password", "7", "16 to 200"],
    ),
    (
        "archive setting twice",
        {"postgres_wal_archive_settings": {"repo1-path": "/x"}},
        ["postgres_wal_archive_settings", "repo1-path", "variables of their own"],
    ),
    ("database name", {"mlflow_database": "Bad-Name"}, ["postgres_database", "Bad-Name", "lower-case"]),
    ("weak key", {"mlflow_kek_passphrase": "short-kek"}, ["mlflow_kek_passphrase", "32 characters"]),
    # --- ports
    ("one port twice", {"proxy_http_port": 443}, ["proxy_http_port", "443", "another port"]),
    ("port held", {"proxy_http_port": 7777}, ["proxy_http_port", "7777", "python3", "stop that program"]),
    ("another instance", {"mlflow_unit": "second"}, ["443", "other.conf", "ports of its own"]),
    # --- certificates
    (
        "half a certificate",
        {"proxy_tls_certificate_file": "{certificates}/good.crt"},
        ["proxy_tls_key_file", "go together"],
    ),
    (
        "no such certificate",
        {"proxy_tls_certificate_file": "/nowhere.crt", "proxy_tls_key_file": "/nowhere.key"},
        ["proxy_tls_certificate_file", "/nowhere.crt", "PEM"],
    ),
    (
        "other key",
        {"proxy_tls_certificate_file": "{certificates}/good.crt", "proxy_tls_key_file": "{certificates}/other.key"},
        ["proxy_tls_key_file", "other.key", "does not match"],
    ),
    (
        "expired",
        {
            "proxy_tls_certificate_file": "{certificates}/expired.crt",
            "proxy_tls_key_file": "{certificates}/expired.key",
        },
        ["proxy_tls_certificate_file", "expired.crt", "give a valid one"],
    ),
    (
        "other name",
        {"proxy_tls_certificate_file": "{certificates}/other.crt", "proxy_tls_key_file": "{certificates}/other.key"},
        ["proxy_tls_certificate_file", "other.example", "does not", "cover"],
    ),
    (
        "no PEM",
        {"proxy_tls_certificate_file": "{certificates}/no.pem", "proxy_tls_key_file": "{certificates}/no.pem"},
        ["proxy_tls_certificate_file", "no.pem", "PEM"],
    ),
]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good certificate for the host's address, and one for each way to be bad."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, names: list[x509.GeneralName], first: int, last: int) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=first))
            .not_valid_after(now + timedelta(days=last))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    host: list[x509.GeneralName] = [
        x509.IPAddress(ip_address("127.0.0.12")),
        x509.IPAddress(ip_address("127.0.0.13")),
    ]
    make("good", host, -1, 30)
    make("other", [x509.DNSName("other.example")], -1, 30)
    make("expired", host, -30, -1)
    (folder / "no.pem").write_text("this is no certificate\n")
    return folder


@pytest.fixture(scope="module")
def prepared(host: Any) -> Any:
    """The host with what some cases need: a held port, another instance, odd places for a volume."""
    host.check_output("mkdir -p /mnt/read-only /etc/nginx/conf.d && touch /srv/a-file")
    host.check_output("mountpoint -q /mnt/read-only || mount -t tmpfs -o ro tmpfs /mnt/read-only")
    host.check_output("echo '# instance of mlflow: other port 443 ' > /etc/nginx/conf.d/other.conf")
    host.check_output("systemctl is-active -q held || systemd-run --unit held python3 -m http.server 7777")
    return host


def untouched(host: Any) -> str:
    """What a run would change first: users, packages and directories of the host."""
    return str(
        host.check_output(
            "getent passwd | sort; dpkg-query -W -f '${Package}\\n' | sort;"
            " find /opt /etc /srv /var/lib/mlflow /var/lib/postgresql -maxdepth 2 2>/dev/null | sort"
        )
    )


@pytest.mark.parametrize(("variables", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused_before_the_first_change(
    prepared: Any, certificates: Path, variables: dict[str, Any], words: list[str]
) -> None:
    """The play fails, says what is wrong in words to act on, shows no password, and changes nothing."""
    filled = {
        key: value.replace("{certificates}", str(certificates)) if isinstance(value, str) else value
        for key, value in variables.items()
    }
    before = untouched(prepared)
    done = run_playbook(filled, arguments=("--tags", "check"))
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, said[-3000:]
    for word in words:
        assert word in said, f"{word!r} is not in: {said[-3000:]}"
    for secret in (GOOD, "hunter2", "short-kek"):
        assert secret not in said
    assert untouched(prepared) == before


DEVICE = "/dev/loop-volume"


@pytest.fixture
def blank_device(prepared: Any) -> Iterator[Any]:
    """The host, whose loop device is blank before and after."""
    wipe = f"umount {DEVICE} 2>/dev/null; wipefs --quiet --all --force {DEVICE}"
    prepared.check_output(wipe)
    yield prepared
    prepared.check_output(wipe)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (f"mkfs.ext4 -q -F -L somebodys {DEVICE}", ["ext4,somebodys", "not blank", f"wipefs --all {DEVICE}"]),
        (f"mkswap {DEVICE}", ["swap,", "not blank"]),
        (f"mkfs.ext4 -q -F -L mlflow-store {DEVICE} && mount -o ro {DEVICE} /mnt", ["in use", "mounted at /mnt"]),
    ],
    ids=["another file system", "swap", "mounted elsewhere"],
)
def test_a_device_that_is_not_ours_is_refused(blank_device: Any, made: str, words: list[str]) -> None:
    """A device with content, or in use, is named with what was found, and not a byte of it changes."""
    blank_device.check_output(made)
    before = blank_device.check_output(f"sha256sum {DEVICE}")
    done = run_playbook({"mlflow_volume_device": DEVICE}, arguments=("--tags", "check"))
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, said[-3000:]
    for word in ["mlflow_volume_device", DEVICE, *words]:
        assert word in said, f"{word!r} is not in: {said[-3000:]}"
    assert blank_device.check_output(f"sha256sum {DEVICE}") == before


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("mlflow_public_url", "missing required arguments: mlflow_public_url"),
        ("mlflow_users", "mlflow_users: it is empty"),
    ],
)
def test_a_missing_variable_is_named(prepared: Any, tmp_path: Path, missing: str, words: str) -> None:
    """An inventory without a required variable fails, and says which one is missing."""
    given = prepared.ansible.get_variables()
    name = given["inventory_hostname"]
    kept = {
        key: value
        for key, value in given.items()
        if key.startswith(("mlflow_", "ansible_connection", "ansible_user")) and key != missing
    }
    groups: dict[str, Any] = {group: {"hosts": {name: {}}} for group in ("mlflow_db", "mlflow_app", "mlflow_proxy")}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"vars": kept, "children": groups}}))
    done = run_playbook(arguments=("--tags", "check"), environment={"MOLECULE_INVENTORY_FILE": str(inventory)})
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0, said[-3000:]
    assert words in said, said[-3000:]


def test_unsupported_distribution(prepared: Any) -> None:
    """On another distribution the play stops and says which ones it supports."""
    release = prepared.check_output("cat /usr/lib/os-release")
    prepared.check_output(
        "sed -Ei 's/bookworm|trixie/buster/g' /usr/lib/os-release; rm -f /etc/nginx/conf.d/other.conf"
    )
    try:
        done = run_playbook(arguments=("--tags", "check"))
    finally:
        script = f"import pathlib; pathlib.Path('/usr/lib/os-release').write_text({release + chr(10)!r})"
        prepared.run_test("python3 -c %s", script)
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode != 0
    assert "buster" in said
    assert "Use Debian 12 (bookworm) or Debian 13 (trixie)" in said


def test_nothing_wrong_passes(prepared: Any) -> None:
    """The same run without a mistake passes, so the cases above fail for their own reason."""
    prepared.check_output("rm -f /etc/nginx/conf.d/other.conf")
    done = run_playbook(arguments=("--tags", "check"))
    assert done.returncode == 0, done.stdout[-3000:]
