"""Instances of this project on a host, read from their units, and the reasons why a run must not replace one."""

from __future__ import annotations

from collections.abc import Callable

SUFFIX = "-db-init.service"


def found_instances(lines: list[str]) -> dict[str, dict[str, str]]:
    """The values in each instance's unit: settings, volume, user and database, by the instance's name.

    Args:
        lines: ``path:Name=value``, as ``grep --with-filename`` prints lines of units and of ``pg_service.conf``.
    """
    instances: dict[str, dict[str, str]] = {}
    for line in lines:
        path, _, setting = line.partition(":")
        name, _, value = setting.partition("=")
        if path.endswith(SUFFIX):
            instances.setdefault(path.rsplit("/", 1)[-1].removesuffix(SUFFIX), {})[name] = value
    for line in lines:
        path, _, setting = line.partition(":")
        for instance in instances.values():
            if path == instance.get("EnvironmentFile", "").replace("mlflow.env", "pg_service.conf"):
                instance["dbname"] = setting.partition("=")[2]
    return instances


def instance_problems(lines: list[str], host: str, wanted: dict[str, str], there: list[str]) -> list[str]:
    """Why this run would break an instance on the host, as sentences.

    Args:
        lines: as for :func:`found_instances`.
        host: its name, for messages.
        wanted: ``unit``, and the ``config``, ``volume`` and ``database`` of this run.
        there: those of the last three that hold data already: somebody has moved them.
    """
    problems = []
    instances = found_instances(lines)
    for name in sorted(set(instances) - {wanted["unit"]}):
        problems.append(
            f"mlflow_unit is '{wanted['unit']}', and {host} has the instance '{name}' already. A host holds one: "
            f"set mlflow_unit: {name} to change that one, use another host for a second one, or remove the first with "
            f"playbooks/uninstall.yml -e mlflow_unit={name}."
        )
    own = instances.get(wanted["unit"], {})
    present = {
        "config": own.get("EnvironmentFile", "").removesuffix("/mlflow.env"),
        "volume": own.get("ReadWritePaths", ""),
        "database": own.get("dbname", ""),
    }
    variables = {"config": "mlflow_config_path", "volume": "mlflow_volume_path", "database": "mlflow_database"}
    for part, variable in variables.items():
        if present[part] and present[part] != wanted[part] and part not in there:
            problems.append(
                f"{variable} is '{wanted[part]}', where nothing is, and '{wanted['unit']}' on {host} serves from "
                f"'{present[part]}': it would start again, empty. Set the variable back; to move, stop "
                f"{wanted['unit']}.target and bring the data to the new place first. A second one needs another host."
            )
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file by name."""
        return {"instance_problems": instance_problems}
