"""The state of the host during the attacks: workers, memory, bytes where none should be, and new files."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.abuse.target import Target

# Runs on the host, standard library only: measures twice a second until its standard input is closed, and prints the maxima:
# memory of each unit's processes, and bytes of files below temporary directories of the root disk, also of those that
# are open and have been deleted.
LOOK = """
import glob, json, os, select, sys
units, folders = json.loads(sys.argv[1]), json.loads(sys.argv[2])
most = {"memory_mib": dict.fromkeys(units, 0), "outside_mib": 0}
while not select.select([sys.stdin], [], [], 0.5)[0]:
    memory, held = dict.fromkeys(units, 0), {}
    for process in glob.glob("/proc/[0-9]*"):
        try:
            group = open(process + "/cgroup").read()
            unit = next((unit for unit in units if "/" + unit in group), None)
            if unit is None:
                continue
            rollup = open(process + "/smaps_rollup").read()
            memory[unit] += int(rollup.split("Pss:")[1].split()[0])
            for number in os.listdir(process + "/fd"):
                name = os.readlink(process + "/fd/" + number)
                if name.endswith(" (deleted)") and name.startswith(tuple(folders)):
                    status = os.stat(process + "/fd/" + number)
                    held[status.st_dev, status.st_ino] = status.st_blocks * 512
        except (OSError, IndexError):
            pass
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                try:
                    status = os.lstat(os.path.join(path, name))
                    held[status.st_dev, status.st_ino] = status.st_blocks * 512
                except OSError:
                    pass
    for unit in units:
        most["memory_mib"][unit] = max(most["memory_mib"][unit], memory[unit] // 1024)
    most["outside_mib"] = max(most["outside_mib"], sum(held.values()) // 2**20)
print(json.dumps(most))
"""
TEMPORARY = ["/var/lib/nginx/", "/tmp/", "/var/tmp/"]
# Where the server may write: its volume, its database, its logs, its points, its users and tokens, the files compiled
# from them, and the state of its timers. systemd, logrotate and apt, which checks for updates, write when
# they ran.
PLACES = [
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/postgresql", "/var/lib/systemd"),
    *("/var/backups", "/var/cache", "/var/lib/nginx", "/etc/*/access", "/var/lib/*-proxy/logins*"),
    *("/var/lib/*-proxy/entries", "/var/lib/*-backup/metrics", "/var/lib/*-backup/notified.json"),
    *("/var/lib/logrotate", "/var/lib/apt", "/var/lib/dpkg/lock*"),
]
# Messages of gunicorn, the kernel, systemd and nginx when a process was lost.
LOST = re.compile(
    r"WORKER TIMEOUT|was sent SIG|Out of memory|OOM killer|oom-kill|exited on signal|Failed with result|code=killed"
)


class Watch:
    """Watches the host during a ``with`` block.

    Attributes:
        most: the memory of each unit, and bytes outside.
        lost: lines of the journal about processes that failed; restarts of a unit.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        unit = target.settings["instance"]["unit"]
        self._units = [f"{unit}.service", f"{unit}-asgi.service", f"{unit}-uploads.service", "nginx.service"]
        self.most: dict[str, Any] = {}
        self.lost: list[str] = []

    def __enter__(self) -> Watch:
        self._cursor = self._target.shell("journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'").strip()
        self._before = self._processes()
        command = ["docker", "exec", "--interactive", self._target.container, "python3", "-B", "-c", LOOK]
        self._process = subprocess.Popen(
            [*command, json.dumps(self._units), json.dumps(TEMPORARY)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        message, _ = self._process.communicate(timeout=60)
        self.most = json.loads(message or "{}")
        units = " ".join(f"-u {unit}" for unit in [*self._units, "postgresql@*"])
        # The kernel's lines are about the whole machine, on which other processes may run out of memory.
        message = self._target.shell(f"journalctl --no-pager -o cat --after-cursor='{self._cursor}' {units}")
        self.lost = [line.strip()[:200] for line in message.splitlines() if LOST.search(line)]
        after = self._processes()
        self.lost += [
            f"{unit} was started anew: {main} is {after[unit]}"
            for unit, main in self._before.items()
            if main != "0" and after[unit] != main
        ]

    def _processes(self) -> dict[str, str]:
        """The main process of each unit; a worker that was replaced after its number of requests is not lost."""
        message = self._target.shell(f"systemctl show -p MainPID --value {' '.join(self._units)}")
        return dict(zip(self._units, message.split(), strict=False))


def files(target: Target, *places: str) -> set[str]:
    """Every file of the root disk outside of these places, with size, mode, owner and time of change."""
    pruned = " -o ".join(f"-path '{place}'" for place in [*PLACES, *places])
    script = f"find / -xdev \\( {pruned} \\) -prune -o ! -type d -printf '%p %s %m %u %l %C@\\n'"
    return set(filter(None, target.shell(script).split("\n")))


def bodies(target: Target) -> str:
    """Bodies that nginx has stored."""
    return target.shell("find /var/lib/nginx -type f")
