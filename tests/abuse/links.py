"""Links in the store, as MLflow's own account could create them: nothing is read, written or moved through one."""

from __future__ import annotations

import time

from tests.abuse.found import Attack
from tests.harness.artifacts import API

# Allowed answers to a request through a link: no success.
REFUSED = {"400", "403", "404", "405", "409", "500"}
FILES = ["/etc/passwd", "/etc/hostname", "/etc/mlflow/mlflow.env", "/var/log/nginx/access.log", "/proc/self/environ"]
FOLDERS = [
    "/etc/cron.d",
    "/etc/profile.d",
    "/run/mlflow-proxy",
    "/var/lib/postgresql",
    "/var/tmp",
    "/etc/mlflow/secrets",
]


def through_http(attack: Attack) -> None:
    """Links to files and directories outside, read and written by plain and unusual names."""
    target, found, rng = attack.target, attack.found, attack.rng
    settings = target.settings
    user, store = settings["instance"]["user"], f"{settings['artifacts']['path']}/store"
    while attack.has_time():
        root = f"abuse-links/{attack.word()}"
        file, folder = rng.choice(FILES), rng.choice(FOLDERS)
        planted = f"mkdir -p {store}/{root} && cd {store}/{root} && ln -s {file} file && ln -s {file} 'a$b'"
        target.shell(f"umask 002; {planted} && ln -s {folder} folder && ln -s / top && ln -s .. up", user=user)
        try:
            with target.session("editor") as http:
                base = target.artifacts(root)
                for path in ("file", f"top{file}", "a%24b"):
                    answer = http.get(f"{base}/{path}", timeout=60)
                    found.expect(f"GET of {_way(path)} to {file}", str(answer.status_code), REFUSED)
                word = attack.word()
                for path in (f"folder/{word}", f"folder/{word}%24", f"top/var/tmp/{word}", f"folder/{word}/deeper"):
                    for size in (5, 1_200_000):
                        answer = http.put(f"{base}/{path}", data=b"x" * size, timeout=60)
                        found.expect(f"PUT through {_way(path)} to {folder}", str(answer.status_code), REFUSED)
                answer = http.get(f"{target.url}{API}", params={"path": f"{root}/folder"}, timeout=60)
                listed = answer.ok and answer.json().get("files")
                if listed:
                    found.fault(f"a list through a link to {folder} shows {len(listed)} files")
            written = target.shell(f"find /etc /run /tmp /var/tmp /var/lib/postgresql -name '{word}*'")
            if written:
                found.fault(f"something was written through a link to {folder}, or to /")
                target.shell(f"find /etc /run /tmp /var/tmp /var/lib/postgresql -name '{word}*' -exec rm -rf {{}} +")
        finally:
            target.shell(f"rm -rf {store}/{root}")


def _way(path: str) -> str:
    """nginx serves names of plain characters, MLflow all others."""
    return "an unusual link" if "%" in path else "a plain link"


def through_operations(attack: Attack) -> None:
    """Orphans that are set aside, and moved back when a link has replaced their directory."""
    target, found = attack.target, attack.found
    settings = target.settings
    user, volume = settings["instance"]["user"], settings["artifacts"]["path"]
    while attack.has_time():
        word = attack.word()
        outside = attack.rng.choice(["/etc/profile.d", "/etc/cron.d", "/usr/local/bin"])
        # The link replaces the directory itself, or the one above it.
        top, name = f"abuse-links/{word}", outside.rpartition("/")[2]
        below = f"{top}/{name}"
        link, goal = attack.rng.choice([(below, outside), (top, outside.rpartition("/")[0])])
        # Older than a year, as no other file is.
        target.shell(
            f"umask 002; mkdir -p {volume}/store/{below} && cd {volume}/store/{below}"
            f" && echo echo abused > {word}.sh && touch -d '400 days ago' {word}.sh . ..",
            user=user,
        )
        _, aside, _ = target.control("orphans quarantine --older-than 399d")
        replace = f"rm -rf {top} && mkdir -p $(dirname {link}) && ln -s {goal} {link}"
        target.shell(f"cd {volume}/store && {replace}", user=user)
        code, _, message = target.control("orphans list")
        if code or "Traceback" in message:
            found.fault("orphans list stumbles over a link")
        suffix = (aside or {}).get("suffix", "none")
        code, _, message = target.control(f"leftovers put-back {suffix}")
        if "Traceback" in message:
            found.fault("leftovers put-back ends with a traceback")
        found.answers[f"put-back {code}"] += 1
        if target.shell(f"ls {outside}/{word}.sh 2>/dev/null"):
            found.fault(f"leftovers put-back wrote {outside}/{word}.sh through a link")
            target.shell(f"rm -f {outside}/{word}.sh")
        target.control(f"leftovers delete {suffix}")
        target.shell(f"rm -rf {volume}/store/abuse-links")
        time.sleep(0.2)
