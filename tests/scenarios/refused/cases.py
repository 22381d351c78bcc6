"""Bad input: the case's name, the variables, and words of the refusal."""

from __future__ import annotations

import os
from typing import Any

GOOD = "correct-horse-battery"


def user(name: str = "ada", **more: str) -> dict[str, str]:
    """One user with a good password by default."""
    return {"name": name, "password": GOOD} | more


def repository(**more: str) -> dict[str, str]:
    """One valid repository by default."""
    return {"name": "local", "location": "/srv/points"} | more


# The case's name, the variables, and the words.
Case = tuple[str, dict[str, Any], list[str]]

CASES: list[Case] = [
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
    ("path", {"mlflow_public_url": "https://mlflow.example.com/a//b"}, ["mlflow_public_url", "/a//b", "path"]),
    ("query", {"mlflow_public_url": "https://mlflow.example.com/a?b"}, ["mlflow_public_url", "/a?b", "a query"]),
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
    ("misspelt prefix", {"mlfow_workers": 4}, ["mlfow_workers", "Did you mean mlflow_workers?"]),
    (
        "wired",
        {"mlflow_access_path": "/other"},
        ["mlflow_access_path", "no effect", "set mlflow_config_path"],
    ),
    # --- placeholders; tests/unit/plugins/filter/test_variables.py has the rest
    (
        "placeholder of the vault",
        {"mlflow_users": [user(password="replace-this-placeholder", role="admin")]},
        ["mlflow_users", "ada", "placeholder"],
    ),
    ("placeholder as a key", {"mlflow_flask_key": "CHANGE-ME-" * 4}, ["mlflow_flask_key", "placeholder"]),
    # --- users; tests/unit/plugins/filter/test_users.py has the rest
    ("no users", {"mlflow_users": []}, ["mlflow_users", "empty"]),
    ("twice", {"mlflow_users": [user(), user()]}, ["mlflow_users", "ada", "2 times", "keep one"]),
    ("weak", {"mlflow_users": [user(password="hunter2")]}, ["mlflow_users", "ada", "weak", "12 or more"]),
    (
        "rule",
        {"mlflow_access_rules": {"editor": ["runs/delete"]}},
        ["mlflow_access_rules", "runs/delete", "is not an endpoint"],
    ),
    (
        "rule for no endpoint",
        {"mlflow_access_rules": {"editor": ["POST {api}/mlflow/runs/delet"]}},
        ["mlflow_access_rules", "runs/delet'", "did you mean 'POST {api}/mlflow/runs/delete'"],
    ),
    ("no admin", {"mlflow_users": [user()]}, ["mlflow_users", "nobody is an admin", "role: admin"]),
    (
        "CA bundle",
        {"mlflow_pip_ca_bundle": "/nowhere.crt"},
        ["mlflow_pip_ca_bundle", "/nowhere.crt", "copy the bundle"],
    ),
    (
        "name to reach",
        {"mlflow_outbound_addresses": ["hooks.example.com"]},
        ["mlflow_outbound_addresses", "hooks.example.com", "192.0.2.20"],
    ),
    (
        "frame",
        {"mlflow_proxy_frame_ancestors": ["portal.example.com"]},
        ["mlflow_proxy_frame_ancestors", "portal.example.com", "https://name"],
    ),
    (
        "connections",
        {"mlflow_proxy_connections_per_address": 0},
        ["mlflow_proxy_connections_per_address", "is 0", "from 1 to 8192"],
    ),
    ("unread answers", {"mlflow_proxy_unread_answers_mb": 7}, ["mlflow_proxy_unread_answers_mb", "is 7", "from 8 to"]),
    *(
        (f"origin {origin}", {"mlflow_allowed_origins": [origin]}, ["mlflow_allowed_origins", origin, "https://name"])
        for origin in ("http://a.example", "https://a.example/x", "null")
    ),
    (
        "sandbox",
        {"mlflow_proxy_sandbox_write_paths": ["var/cache site"]},
        ["mlflow_proxy_sandbox_write_paths", "var/cache site", "absolute path"],
    ),
    # --- client certificates
    ("no CA", {"mlflow_proxy_client_certificates": "required"}, ["mlflow_proxy_client_ca_file", "''", "PEM file"]),
    (
        "CA is none",
        {"mlflow_proxy_client_certificates": "required", "mlflow_proxy_client_ca_file": "{certificates}/no.pem"},
        ["mlflow_proxy_client_ca_file", "no.pem", "PEM"],
    ),
    (
        "ended revocation list",
        {
            "mlflow_proxy_client_certificates": "alternative",
            "mlflow_proxy_client_ca_file": "{certificates}/good.crt",
            "mlflow_proxy_client_crl_file": "{certificates}/ended.crl",
        },
        ["mlflow_proxy_client_crl_file", "ended.crl", "Fetch a new one"],
    ),
    # --- the volume
    ("volume's group", {"mlflow_volume_group": "www-data"}, ["mlflow_volume_group", "www-data", "a group of its own"]),
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
    # --- recovery points
    (
        "same name",
        {"mlflow_backup_repositories": [repository(), repository(location="/srv/b")]},
        ["mlflow_backup_repositories", "each name once"],
    ),
    (
        "relative location",
        {"mlflow_backup_repositories": [repository(location="points")]},
        ["mlflow_backup_repositories", "points", "absolute path"],
    ),
    (
        "password in a location",
        {"mlflow_backup_repositories": [repository(location="rest:https://a:hunter2@b/")]},
        ["mlflow_backup_repositories", "holds a password", "RESTIC_REPOSITORY"],
    ),
    (
        "points on the volume",
        {"mlflow_backup_repositories": [repository(location="/var/lib/mlflow/artifacts/points")]},
        ["mlflow_backup_repositories", "is inside of what is backed up", "another disk"],
    ),
    (
        "weak repository password",
        {"mlflow_backup_repositories": [repository(password="hunter2")]},
        ["mlflow_backup_repositories", "shorter than 16", "leave it empty"],
    ),
    (
        "schedule",
        {"mlflow_backup_schedule": "sometimes"},
        ["mlflow_backup_schedule is 'sometimes', which systemd does not understand. "],
    ),
    (
        "schedule of the past",
        {"mlflow_backup_gc_schedule": "2020-01-01"},
        ["mlflow_backup_gc_schedule is '2020-01-01', which never"],
    ),
    (
        "URL to tell",
        {"mlflow_control_notify_url": "hooks.example.com/x"},
        ["mlflow_control_notify_url", "hooks.example.com", "scheme"],
    ),
    (
        "program to tell",
        {"mlflow_control_notify_command": ["logger"]},
        ["mlflow_control_notify_command", "logger", "absolute path"],
    ),
    (
        "one place twice",
        {"mlflow_backup_repositories": [repository(), repository(name="b", location="/srv/points/")]},
        ["mlflow_backup_repositories", "/srv/points", "location of its own"],
    ),
    # Debian 12's restic reaches it.
    *(
        [
            (
                "azure",
                {"mlflow_backup_repositories": [repository(location="azure:points:/")]},
                ["mlflow_backup_repositories", "azure:points:/", "Go by rclone"],
            )
        ]
        if os.environ.get("SUITE") == "trixie"
        else []
    ),
    # --- names and numbers
    ("unit name", {"mlflow_unit": "My Flow"}, ["mlflow_unit", "My Flow", "lower-case"]),
    ("workers", {"mlflow_workers": 129}, ["mlflow_workers", "129", "from 0 to 128"]),
    ("not a number", {"mlflow_workers": "many"}, ["mlflow_workers is 'many': use a whole number"]),
    ("text for a switch", {"mlflow_asgi_enabled": "no"}, ["mlflow_asgi_enabled is 'no'", "true or false"]),
    ("text for a list", {"mlflow_outbound_addresses": "192.0.2.1"}, ["mlflow_outbound_addresses", "write a list"]),
    *(
        (f"{name} is {value}", {name: value}, [name, str(value), words])
        for name, value, words in (
            ("mlflow_bulk_request_limit_mb", 999999999, "to 1024"),
            ("mlflow_transfer_least_rate_kb", 0, "from 1 to 1024"),
            ("mlflow_backup_memory_percent", 100, "from 10 to 90"),
            ("mlflow_statement_timeout_seconds", -1, "from 0 to 86400"),
        )
    ),
    ("root as user", {"mlflow_user": "root"}, ["mlflow_user", "root", "user of its own"]),
    (
        "archive path",
        {"mlflow_postgres_wal_archive_path": "wal"},
        ["mlflow_postgres_wal_archive_path", "'wal'", "absolute path"],
    ),
    (
        "weak archive password",
        {"mlflow_postgres_wal_archive_password": "hunter2"},
        ["mlflow_postgres_wal_archive_password", "7", "16 to 200"],
    ),
    (
        "archive setting twice",
        {"mlflow_postgres_wal_archive_settings": {"repo1-path": "/x"}},
        ["mlflow_postgres_wal_archive_settings", "repo1-path", "variables of their own"],
    ),
    ("database name", {"mlflow_database": "Bad-Name"}, ["mlflow_postgres_database", "Bad-Name", "lower-case"]),
    ("weak key", {"mlflow_kek_passphrase": "short-kek"}, ["mlflow_kek_passphrase", "32 characters"]),
    # --- patches and settings of MLflow
    ("unknown patch", {"mlflow_patches": ["metricks"]}, ["mlflow_patches", "metricks", "use all, none", "metrics"]),
    ("safety patch", {"mlflow_patches": ["confine"]}, ["mlflow_patches", "confine", "always on", "Leave it out"]),
    ("patches by a word", {"mlflow_patches": "some"}, ["mlflow_patches", "some", "use all, none"]),
    (
        "jobs",
        {"mlflow_settings": {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true"}},
        ["mlflow_settings", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "no job runner", "Take it out"],
    ),
    (
        "workspaces",
        {"mlflow_settings": {"MLFLOW_ENABLE_WORKSPACES": True}},
        ["mlflow_settings", "MLFLOW_ENABLE_WORKSPACES", "not supported", "Take it out"],
    ),
    (
        "another database by a setting",
        {"mlflow_settings": {"MLFLOW_TRACKING_URI": "postgresql://a:hunter2@b/c"}},
        ["mlflow_settings", "MLFLOW_TRACKING_URI", "mlflow_database"],
    ),
    (
        "a setting with a hyphen",
        {"mlflow_settings": {"MLFLOW-LOGGING": "DEBUG"}},
        ["mlflow_settings", "MLFLOW-LOGGING", "letters, digits and _"],
    ),
    # --- ports
    ("one port twice", {"mlflow_proxy_http_port": 443}, ["mlflow_proxy_http_port", "443", "another port"]),
    ("port held", {"mlflow_proxy_http_port": 7777}, ["mlflow_proxy_http_port", "7777", "python3", "stop that program"]),
    ("another instance", {"mlflow_unit": "second"}, ["mlflow_unit is 'second'", "'other'", "A host holds one"]),
    # --- certificates
    (
        "half a certificate",
        {"mlflow_proxy_tls_certificate_file": "{certificates}/good.crt"},
        ["mlflow_proxy_tls_key_file", "go together"],
    ),
    (
        "no such certificate",
        {"mlflow_proxy_tls_certificate_file": "/nowhere.crt", "mlflow_proxy_tls_key_file": "/nowhere.key"},
        ["mlflow_proxy_tls_certificate_file", "/nowhere.crt", "PEM"],
    ),
    (
        "other key",
        {
            "mlflow_proxy_tls_certificate_file": "{certificates}/good.crt",
            "mlflow_proxy_tls_key_file": "{certificates}/other.key",
        },
        ["mlflow_proxy_tls_key_file", "other.key", "does not match"],
    ),
    (
        "expired",
        {
            "mlflow_proxy_tls_certificate_file": "{certificates}/expired.crt",
            "mlflow_proxy_tls_key_file": "{certificates}/expired.key",
        },
        ["mlflow_proxy_tls_certificate_file", "expired.crt", "give a valid one"],
    ),
    (
        "ends soon",
        {
            "mlflow_proxy_tls_certificate_file": "{certificates}/soon.crt",
            "mlflow_proxy_tls_key_file": "{certificates}/soon.key",
        },
        ["mlflow_proxy_tls_certificate_file", "soon.crt", "less than a day"],
    ),
    (
        "other name",
        {
            "mlflow_proxy_tls_certificate_file": "{certificates}/other.crt",
            "mlflow_proxy_tls_key_file": "{certificates}/other.key",
        },
        ["mlflow_proxy_tls_certificate_file", "other.example", "does not", "cover"],
    ),
    (
        "no PEM",
        {
            "mlflow_proxy_tls_certificate_file": "{certificates}/no.pem",
            "mlflow_proxy_tls_key_file": "{certificates}/no.pem",
        },
        ["mlflow_proxy_tls_certificate_file", "no.pem", "PEM"],
    ),
]
