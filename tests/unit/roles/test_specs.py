"""Argument specs, defaults, READMEs and wiring say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from scripts import readme_tables

ROOT = Path(__file__).parents[3]
ROLES = sorted((ROOT / "roles").iterdir())


def load(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_equal_the_argument_spec(role: Path) -> None:
    """Every variable is in both, with the same value; required ones have no default but a comment."""
    options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(role / "defaults" / "main.yml")
    documented = {name: option["default"] for name, option in options.items() if not option.get("required")}
    assert documented == defaults
    text = (role / "defaults" / "main.yml").read_text()
    for name, option in options.items():
        assert option["description"], name
        if option.get("required"):
            assert re.search(rf"^# {name}:", text, re.M), name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_both_entry_points_take_the_same(role: Path) -> None:
    """The early check accepts the same as the role."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    assert specs["validate"] == specs["main"]


def test_tables_are_up_to_date() -> None:
    """Variables as the argument specs have them, and figures as they were measured."""
    for page, mark, text in readme_tables.tables():
        found = page.read_text()
        assert readme_tables.render(found, mark, text) == found, f"{mark} in {page}: run `make readme`"


def test_wiring_falls_back_to_the_defaults_of_both_roles() -> None:
    """Without variables, the roles get the values of their own defaults."""
    defaults: dict[str, Any] = {}
    for role in ROLES:
        defaults.update(load(role / "defaults" / "main.yml"))
    environment = NativeEnvironment(undefined=jinja2.StrictUndefined)
    context: dict[str, Any] = {
        "mlflow_public_url": "https://localhost",
        "__wiring_node": {"processor_vcpus": 2, "memtotal_mb": 4096},
    }

    def evaluate(value: Any) -> Any:
        if isinstance(value, list):
            return [evaluate(item) for item in value]
        if isinstance(value, dict):
            return {key: evaluate(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        return environment.from_string(value).render(context)

    wiring = load(ROOT / "playbooks/vars/wiring.yml")
    objects = [name for name, value in wiring.items() if isinstance(value, dict)]
    context |= {name: evaluate(wiring.pop(name)) for name in objects}
    wired = {name: evaluate(value) for name, value in wiring.items() if not name.startswith("__")}
    wired.pop("mlflow_access_users")
    assert len(objects) == 6
    assert wired == {name: defaults[name] for name in wired}
    # And the other role has the same default.
    assert wired["mlflow_postgres_system_users"] == [defaults["mlflow_user"]]
    assert wired["mlflow_postgres_database"] == defaults["mlflow_database"]
    assert wired["mlflow_proxy_wsgi_socket"] == defaults["mlflow_runtime_path"] + "/wsgi.sock"


@pytest.mark.parametrize("wanted", [0, 5])
@pytest.mark.parametrize(("cores", "mib"), [(1, 1024), (2, 4096), (8, 2048), (8, 16384), (64, 262144)])
def test_pools_and_connections_follow_the_host(cores: int, mib: int, wanted: int) -> None:
    """The role mlflow computes the same workers as the wiring for PostgreSQL."""
    defaults = load(ROOT / "roles" / "mlflow" / "defaults" / "main.yml") | {"mlflow_workers": wanted}
    environment = NativeEnvironment(undefined=jinja2.StrictUndefined)
    context = defaults | {"ansible_facts": {"processor_vcpus": cores, "memtotal_mb": mib}}
    own = load(ROOT / "roles" / "mlflow" / "vars" / "main.yml")["__mlflow_workers"]
    # Of the node, wherever the database is.
    context["__wiring_node"] = context["ansible_facts"]
    workers: Any = environment.from_string(own).render(context)
    assert workers == (wanted or max(min(cores, mib // 512, 16), 2))
    wired = load(ROOT / "playbooks/vars/wiring.yml")["mlflow_postgres_client_connections"]
    pool = defaults["mlflow_database_pool_size"] + defaults["mlflow_database_pool_overflow"]
    connections: Any = environment.from_string(wired).render(context | {"ansible_facts": {}})
    assert connections == (workers + defaults["mlflow_asgi_workers"] + 2) * 3 * pool


def test_published_facts_are_known_names() -> None:
    """restore.yml checks the names again, when the facts of the role mlflow are set."""
    publish = load(ROOT / "roles" / "mlflow" / "tasks" / "routes.yml")[-1]
    known = load(ROOT / "playbooks" / "tasks" / "check_names.yml")[0]["ansible.builtin.set_fact"]["__site_known_names"]
    assert [name for name in publish["ansible.builtin.set_fact"] if f"'{name}'" not in known] == []
