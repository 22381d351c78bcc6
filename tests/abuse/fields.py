"""Bodies that name two runs, or one in another notation: the audit line has the one that was changed, or none."""

from __future__ import annotations

import json
import time
from random import Random

import requests

from tests.abuse.found import Attack
from tests.abuse.target import REST


def bodies(rng: Random, victim: str, decoy: str) -> dict[str, str]:
    """Bodies of set-tag by the kind of forgery, with ``KEY`` for the tag's name."""
    rest = '"key":"KEY","value":"v"'
    escaped = "".join(f"\\u{ord(letter):04x}" if rng.random() < 0.4 else letter for letter in "run_id")
    return {
        "doubled": f'{{"run_id":"{decoy}",{rest},"run_id":"{victim}"}}',
        "doubled, escaped": f'{{"{escaped}":"{victim}",{rest},"run_id":"{victim}"}}',
        "by two names": f'{{"run_uuid":"{decoy}",{rest},"run_id":"{victim}"}}',
        "nested behind": f'{{"run_id":"{victim}",{rest},"x":{{"run_id":"{decoy}"}}}}',
        "nested before": f'{{"x":[{{"run_id":"{decoy}"}}],"run_id":"{victim}",{rest}}}',
        "escaped": f'{{"{escaped}":"{victim}",{rest}}}',
        "in camel case": f'{{"runId":"{victim}",{rest}}}',
        "in camel case, beside": f'{{"runId":"{victim}","run_uuid":"{decoy}",{rest}}}',
        "within a value": f'{{"run_id":"{victim}","key":"KEY","value":"\\"run_id\\":\\"{decoy}\\""}}',
        "within a value, with spaces": f'{{"run_id"\n:\t"{victim}",{rest},"note":"\\"run_id\\": \\"{decoy}\\""}}',
        "behind much space": f'{{{" " * rng.randrange(1, 100_000)}"run_id":"{victim}",{rest}}}',
        "with another experiment": f'{{"run_id":"{victim}",{rest},"experiment_id":"{rng.randrange(10**6)}"}}',
        "of no run": f'{{{rest},"x":{{"run_id":"{decoy}"}}}}',
    }


def forged(attack: Attack) -> None:
    """A decoy beside the run that is changed: duplicated, nested, escaped, in another spelling, in the URL."""
    target, found, rng = attack.target, attack.found, attack.rng
    runs = target.run(), target.run()
    url = f"{target.url}{REST}/runs/set-tag"
    with target.session("admin") as http:
        while attack.has_time():
            sent = []
            for what, body in bodies(rng, *runs).items():
                key = attack.word()
                query = rng.choice(["", f"?run_id={runs[1]}", f"?run_uuid={runs[1]}"])
                headers = {"Content-Type": "application/json"}
                answer = http.post(url + query, data=body.replace("KEY", key), headers=headers, timeout=60)
                found.expect("a forged field", str(answer.status_code), {"200", "400", "404"}, answer.text)
                sent.append((f"{what}{', decoy in the address' if query else ''}", key))
            lines = _last_lines(attack, len(sent))
            changed = {key: run for run in runs for key in _tags(http, target.url, run)}
            for (what, key), line in zip(sent, lines, strict=True):
                named = line["run"]
                if named not in ("", changed.get(key, "")):
                    found.fault(
                        f"{what}: the audit line names {'the decoy' if named == runs[1] else 'what was not changed'}"
                    )
                if named == "" and what == "behind much space":
                    found.fault(f"{what}: the audit line names nobody")
    _journal(attack)


def _tags(http: requests.Session, url: str, run: str) -> list[str]:
    """Names of a run's tags."""
    answer = http.get(f"{url}{REST}/runs/get", params={"run_id": run}, timeout=60)
    return [tag["key"] for tag in answer.json()["run"]["data"].get("tags", [])]


def _last_lines(attack: Attack, count: int) -> list[dict[str, str]]:
    """The last lines of the admin, whose login nothing else uses meanwhile."""
    name = attack.target.logins["admin"][0]
    time.sleep(0.2)
    message = attack.target.shell(f'grep \'"name":"{name}"\' /var/log/mlflow/audit.log | tail -n {count}')
    return [json.loads(line) for line in filter(None, message.split("\n"))]


def _journal(attack: Attack) -> None:
    """Lines that another process writes to the journal with the same identifier."""
    word = attack.word()
    line = {"time": "2026-01-01T00:00:00+00:00", "name": word, "role": "admin", "route": f"/{word}", "status": 200}
    attack.target.shell(f"logger --tag mlflow_audit '{json.dumps(line)}'", user="nobody")
    _, lines, _ = attack.target.control("audit")
    if word in json.dumps(lines):
        attack.found.fault("mlflowctl audit shows a line that another account wrote to the journal")
