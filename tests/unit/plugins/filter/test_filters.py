"""Which files differ, which units are stale, suggestions for names."""

from __future__ import annotations

import pytest

from plugins.filter.names import nearest
from plugins.filter.units import Needs, awake_units, next_elapses, running_units, stale_units, unread_units

SHOWN = """\
Id=mlflow.socket
ActiveState=active
UnitFileState=enabled
InactiveExitTimestamp=Sat 2026-11-21 04:00:00.000000 UTC

Id=mlflow.service
ActiveState=active
UnitFileState=enabled
InactiveExitTimestamp=Sat 2026-11-21 04:00:10.500000 UTC

Id=mlflow-asgi.service
ActiveState=inactive
UnitFileState=static
InactiveExitTimestamp=
"""
NEEDS: list[Needs] = [
    {"unit": "mlflow.socket", "files": [], "stops": ["mlflow.service"]},
    {"unit": "mlflow.service", "files": ["/etc/mlflow/mlflow.env"], "stops": ["mlflow-db-init.service"]},
    {"unit": "mlflow-asgi.service", "files": ["/etc/mlflow/mlflow.env"], "stops": []},
]
START = 1795233610.5  # 2026-11-21 04:00:10.5 UTC
OLD = {f"/etc/systemd/system/mlflow.{kind}": START - 99 for kind in ("socket", "service")}


@pytest.mark.parametrize(
    ("path", "seconds", "stopped"),
    [
        ("/etc/mlflow/mlflow.env", START - 0.1, []),
        ("/etc/mlflow/mlflow.env", START + 0.1, ["mlflow-db-init.service", "mlflow.service"]),
        ("/etc/mlflow-other/x", START + 0.1, []),
        ("/etc/systemd/system/mlflow.service", START + 9, ["mlflow-db-init.service", "mlflow.service"]),
        ("/etc/systemd/system/mlflow.socket", START - 5, ["mlflow.service", "mlflow.socket"]),
        ("/etc/systemd/system/mlflow-asgi.service", START + 9, []),
    ],
)
def test_units_that_run_on_old_files(path: str, seconds: float, stopped: list[str]) -> None:
    """A unit stops, with its dependent units, only if one of its files is newer than its start."""
    assert stale_units(SHOWN, OLD | {path: seconds}, NEEDS) == stopped


def test_a_unit_that_systemd_does_not_show_is_an_error() -> None:
    """A misspelt unit fails instead of never restarting."""
    with pytest.raises(KeyError):
        stale_units(SHOWN, {}, [{"unit": "{{ x }}.service", "files": [], "stops": []}])


def test_a_running_unit_whose_files_are_still_to_be_written() -> None:
    """In check mode they are not there yet, and it will restart."""
    assert stale_units(SHOWN, {}, NEEDS) == ["mlflow.service", "mlflow.socket", "mlflow-db-init.service"]


def test_running_units() -> None:
    """Running and enabled units need no start."""
    assert running_units(SHOWN) == ["mlflow.socket", "mlflow.service"]


def test_timers_that_are_active_or_will_elapse() -> None:
    """Running or enabled is active; only a timer with a next time will elapse; a changed file is unread."""
    shown = "\n\n".join(
        f"Id={name}\nActiveState={active}\nUnitFileState={file}\nNextElapseUSecRealtime={elapse}\n"
        f"NeedDaemonReload={'yes' if name == 'stopped' else 'no'}"
        for name, active, file, elapse in [
            ("on", "active", "enabled", "Sun 2026-11-22 02:00:00 UTC"),
            ("stopped", "inactive", "enabled", ""),
            ("disabled", "active", "disabled", "Sun 2026-11-22 02:00:00 UTC"),
            ("off", "inactive", "disabled", ""),
            ("absent", "inactive", "", ""),
        ]
    )
    assert awake_units(shown) == ["on", "stopped", "disabled"]
    assert next_elapses(shown) == ["on", "disabled"]
    assert unread_units(shown) == ["stopped"]


def test_nearest_name() -> None:
    """A misspelt name gets a suggestion, nonsense gets none."""
    assert nearest("mlflow_verison", ["mlflow_version", "mlflow_user"]) == "mlflow_version"
    assert nearest("zzz", ["mlflow_version"]) == ""
