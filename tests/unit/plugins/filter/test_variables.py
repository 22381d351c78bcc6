"""Names and values of variables: what is refused before a role sees them, for every variable that there is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from passlib.hash import sha512_crypt

from plugins.filter.access import rule_problems
from plugins.filter.variables import name_problems, schedule_problems, url_problem, value_problems
from plugins.filter.vaults import open_vaults

ROOT = Path(__file__).parents[4]
SPECS: dict[str, Any] = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
}
WIRED = yaml.safe_load((ROOT / "playbooks/vars/wiring.yml").read_text())
OPTIONS = {name: option for role in SPECS.values() for name, option in role.items()}
BASE = {"mlflow_public_url": "https://mlflow.example.com"}
PLACEHOLDER = "replace-this-placeholder"


def message(**values: Any) -> str:
    """The problems of these values."""
    return " ".join(value_problems(BASE | values, SPECS))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mlfow_workers", "mlflow_workers"),
        ("mlflow_worker", "mlflow_workers"),
        ("mlflwo_workers", "mlflow_workers"),
        ("mlfow_wrokers", "mlflow_workers"),
        ("MLFLOW_WORKERS", "mlflow_workers"),
        ("mlflowworkers", "mlflow_workers"),
        ("mlflow_porxy_http_port", "mlflow_proxy_http_port"),
        ("mlflow_backups_schedule", "mlflow_backup_schedule"),
        ("mlflow_postgresql_settings", "mlflow_postgres_settings"),
        ("mlflow_postgres_setings", "mlflow_postgres_settings"),
        ("mlfow_user", "mlflow_user"),
        ("mlflow_client_paht", "mlflow_client_path"),
        ("mlflow_proxy_tls_certificate", "mlflow_proxy_tls_certificate_file"),
        ("mlflow_zzz", ""),
    ],
)
def test_misspelt_names_get_a_suggestion(name: str, meant: str) -> None:
    """A near spelling of a prefix or of a whole name, and a prefix of ours with an unknown rest."""
    (problem,) = name_problems([name], SPECS, WIRED, ["mlflow_users"])
    assert problem.startswith(f"{name} is an unknown variable. ")
    assert ("Did you mean" in problem) == bool(meant)
    assert meant in problem


def test_names_of_other_purposes_pass() -> None:
    """An inventory may have variables of other playbooks."""
    others = [
        *("http_proxy", "https_proxy", "proxy", "workers", "postgresql_databases", "postgresql_version", "nginx_user"),
        *("vault_ada_password", "ansible_user", "inventory_dir", "groups", "client_name", "ntp_servers", "backups"),
        *("MLFLOW_TRACKING_URI", "ml_team", "site_name", "__mlflow_found", "timezone"),
    ]
    assert name_problems([*others, *OPTIONS.keys() - WIRED.keys()], SPECS, WIRED, ["mlflow_users"]) == []


def test_what_the_playbook_sets_itself_is_refused() -> None:
    """It would silently override the inventory."""
    for name in WIRED:
        (problem,) = name_problems([name], SPECS, WIRED, ["mlflow_users"])
        assert problem.startswith(f"{name} would have no effect")
    assert (
        "set mlflow_database instead" in name_problems(["mlflow_postgres_database"], SPECS, WIRED, ["mlflow_users"])[0]
    )


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_variable_has_a_type(name: str) -> None:
    """A value of each wrong type is refused by the variable's name; the default passes."""
    option = OPTIONS[name]
    types = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict, "raw": object}
    right = types[option["type"]]
    # A word or a list: checked by its role.
    wrongs: list[Any] = [None] if right is object else [None, 1.5, ["a", {}], {"a": []}, "two words", 7, True]
    for wrong in wrongs:
        # bool is an int to Python, and a number in quotes is one to us.
        if type(wrong) is not right:
            assert name in message(**{name: wrong}), (name, wrong)
    if "{{" not in str(option.get("default", "{{")):
        assert message(**{name: option["default"]}) == ""


@pytest.mark.parametrize("name", sorted(name for name, option in OPTIONS.items() if option["type"] in ("str", "path")))
def test_texts_are_one_line(name: str) -> None:
    """No line break reaches a configuration file."""
    assert "control character" in message(**{name: "/srv/x\nUser=root"})


SECRETS = [
    *({name: PLACEHOLDER} for name, option in OPTIONS.items() if option.get("no_log") and option["type"] == "str"),
    {"mlflow_users": [{"name": "ada", "password": PLACEHOLDER}]},
    {"mlflow_users": [{"name": "ada", "password": "your-own-password"}]},
    {"mlflow_users": [{"name": "ada", "password_hash": sha512_crypt.using(rounds=5000).hash(PLACEHOLDER)}]},
    {"mlflow_backup_repositories": [{"name": "a", "location": "/srv/a", "password": PLACEHOLDER}]},
    {
        "mlflow_backup_repositories": [
            {"name": "a", "location": "s3:x", "environment": {"AWS_SECRET_ACCESS_KEY": "changeme"}}
        ]
    },
    {"mlflow_postgres_wal_archive_settings": {"repo1-s3-key-secret": "<secret>"}},
    {"mlflow_settings": {"OPENAI_API_KEY": "put-your-key-here"}},
    {"mlflow_kek_passphrase": "ChangeMe" * 5},
    {"mlflow_control_notify_url": "https://hooks.example.com/replace-me"},
]


@pytest.mark.parametrize("values", SECRETS, ids=lambda values: next(iter(values)))
def test_placeholders_are_refused_in_every_secret(values: dict[str, Any]) -> None:
    """By name, and not shown."""
    text = message(**values)
    assert next(iter(values)) in text
    assert "placeholder" in text
    assert PLACEHOLDER not in text


def test_real_secrets_pass() -> None:
    """Those of the scenarios, and random ones."""
    for secret in (
        "correct-horse-battery",
        "a-bug-in-the-relay",
        "kept-in-the-vault-and-in-a-safe",
        "9f$Kq-zz0P!tTb2x",
    ):
        users = [{"name": "ada", "password": secret}]
        repositories = [{"name": "a", "location": "/srv/a", "password": secret}]
        assert (
            message(
                mlflow_users=users, mlflow_backup_repositories=repositories, mlflow_postgres_wal_archive_password=secret
            )
            == ""
        )
    settings = {"MLFLOW_LOGGING_LEVEL": "none", "MLFLOW_X": "key", "MLFLOW_N": 3, "MLFLOW_B": True}
    assert message(mlflow_settings=settings) == ""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"mlflow_outbound_addresses": ["api.example.com"]}, "not an address"),
        ({"mlflow_outbound_addresses": ["192.0.2.0/33"]}, "not an address"),
        ({"mlflow_outbound_addresses": ["192.0.2.1", "192.0.2.1"]}, "2 times"),
        ({"mlflow_outbound_addresses": [""]}, "empty entry"),
        ({"mlflow_access_ban_ignore": ["office"]}, "not an address"),
        ({"mlflow_control_notify_url": "hooks.example.com/x"}, "scheme"),
        ({"mlflow_control_notify_url": "ftp://hooks.example.com/x"}, "scheme"),
        ({"mlflow_control_notify_url": "https://"}, "scheme"),
        ({"mlflow_pip_index_url": "packages.example.com"}, "scheme"),
        ({"mlflow_control_notify_mail": "operator"}, "mail address"),
        ({"mlflow_control_notify_mail": "a@b.c, d@e.f"}, "mail address"),
        ({"mlflow_root_path": "opt/mlflow"}, "absolute path"),
        ({"mlflow_root_path": "/opt/ml flow"}, "absolute path"),
        ({"mlflow_root_path": "/opt/../etc"}, "absolute path"),
        ({"mlflow_backup_state_path": "/opt/x/"}, "absolute path"),
        ({"mlflow_config_path": "/home/ada/mlflow"}, "sandboxes"),
        ({"mlflow_config_path": "/etc/nginx"}, "belongs to the system"),
        ({"mlflow_root_path": "/usr/lib"}, "belongs to the system"),
        ({"mlflow_root_path": "/etc/mlflow"}, "both"),
        ({"mlflow_backup_state_path": "/var/lib/mlflow/artifacts/state"}, "artifact volume"),
        ({"mlflow_runtime_path": "/run/" + "x" * 90}, "80 or fewer"),
        ({"mlflow_unit": ""}, "empty"),
        ({"mlflow_user": " mlflow"}, "spaces"),
        ({"mlflow_volume_filesystem": "zfs"}, "one of ext4, xfs, btrfs"),
        ({"mlflow_settings": {"A B": "x"}}, "environment variable"),
        ({"mlflow_settings": {"A": ["x"]}}, "one text"),
        ({"mlflow_settings": {"A": "x\nB=y"}}, "control character"),
        ({"mlflow_postgres_settings": {"work-mem": "5MB"}}, "postgresql.conf"),
        ({"mlflow_backup_repositories": [{"name": "a"}]}, "no location"),
        ({"mlflow_backup_repositories": [{"name": "a", "location": "/srv/a", "pasword": "x"}]}, "use password"),
        ({"mlflow_backup_repositories": ["/srv/a"]}, "names and values"),
        ({"mlflow_version": 3.1}, "in quotes"),
        ({"mlflow_kek_passphrase": "a" * 40}, "weak"),
    ],
    ids=str,
)
def test_values_that_no_role_could_use(values: dict[str, Any], word: str) -> None:
    """Variable, value and fix."""
    text = message(**values)
    assert next(iter(values)) in text
    assert word in text


def test_good_values_pass() -> None:
    """So the cases above fail because of their mistakes."""
    assert message(
        mlflow_outbound_addresses=["192.0.2.20", "192.0.2.0/24", "2001:db8::/32", "localhost"],
        mlflow_control_notify_url="https://hooks.example.com/a?b=c",
        mlflow_control_notify_command=["/usr/bin/logger", "-t", "-t"],
        mlflow_workers="4",
        mlflow_pip_proxy="http://user:secret@192.0.2.10:3128",
        mlflow_runtime_path="/run/tracking",
    ) == ""  # fmt: skip
    assert "mlflow_public_url" in " ".join(value_problems({}, SPECS))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://ml_flow", "must begin with https://"),
        ("https://ml_flow", "DNS name"),
        ("https://999.1.1.1", "DNS name"),
        ("https://[::1]", "DNS name"),
        ("https://MLflow.example.com", "https://mlflow.example.com."),
        ("https://mlflow.example.com:443/x", "Write https://mlflow.example.com/x."),
        ("https://mlflow.example.com:0", "1 to 65535"),
        ("https://mlflow.example.com:99999", "1 to 65535"),
        ("https://mlflow.example.com/", "closing slash"),
        ("https://" + "a" * 64 + ".example.com", "DNS name"),
    ],
)
def test_the_first_problem_of_a_url_is_named(url: str, word: str) -> None:
    """From left to right."""
    assert word in url_problem(url)
    assert sum(part in url_problem(url) for part in ("must begin", "DNS name", "1 to 65535", "what follows")) <= 1
    for good in ("https://mlflow.example.com", "https://10.1.2.3:8443/team/mlflow", "https://localhost:8443"):
        assert url_problem(good) == ""


def test_only_the_wrong_schedule_is_named() -> None:
    """With systemd-analyze's output for two valid ones, one in the past and an invalid one."""
    shown = (
        "Normalized form: *-*-* 02:00:00\n    Next elapse: Sun 2026-11-29 02:00:00 UTC\n\n"
        "  Original form: 2020-01-01\nNormalized form: 2020-01-01 00:00:00\n    Next elapse: never\n"
    )
    errors = "Failed to parse calendar specification 'sometimes': Invalid argument"
    schedules = [
        {"name": name, "value": value}
        for name, value in zip("abc", ("*-*-* 02:00:00", "2020-01-01", "sometimes"), strict=True)
    ]
    assert schedule_problems(schedules, shown, errors) == [
        "b is '2020-01-01', which never elapses",
        "c is 'sometimes', which systemd does not understand",
    ]
    assert schedule_problems(schedules[:1], shown.partition("\n\n")[0], "") == []


def test_rules_fit_the_release() -> None:
    """By method, prefix and path, as docs/reference/endpoints.md has them."""
    endpoints = (ROOT / "files" / "endpoints" / "mlflow-3.17.2.txt").read_text().splitlines()
    assert rule_problems({"editor": ["POST {api}/mlflow/runs/delete", "GET /health"], "viewer": []}, endpoints) == []
    for wrong in ("GET {api}/mlflow/runs/delete", "POST /api/2.0/mlflow/runs/delete", "POST {api}/mlflow/runs/erase"):
        assert wrong in rule_problems({"editor": [wrong]}, endpoints)[0]
    assert rule_problems({"editor": ["GET /x"]}, []) == []
    rules = yaml.safe_load((ROOT / "roles/mlflow_access/files/access-rules.yml").read_text())
    assert rule_problems(rules, endpoints) == []


def test_an_open_vault_is_named_unless_git_ignores_it(tmp_path: Path) -> None:
    """Encrypted ones, examples and files outside of git pass."""
    folder = tmp_path / "group_vars" / "all"
    folder.mkdir(parents=True)
    vault = folder / "vault.yml"
    (folder / "vault.yml.example").write_text("a: b\n")
    vault.write_text("vault_ada_password: x\n")
    assert open_vaults(str(tmp_path)) == []
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert open_vaults(str(tmp_path)) == [str(vault)]
    (tmp_path / ".gitignore").write_text("vault.yml\n")
    assert open_vaults(str(tmp_path)) == []
    (tmp_path / ".gitignore").unlink()
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    assert open_vaults(str(tmp_path)) == []
    ignored = ["git", "-C", str(ROOT), "check-ignore", "inventories/single/group_vars/all/vault.yml"]
    assert subprocess.run(ignored, capture_output=True, check=False).returncode == 0
