"""Run the attacks on one server; see ``python -m tests.abuse --help``. Exits 1 if a fault was found."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path

from tests.abuse.runner import abuse, faults
from tests.abuse.table import KINDS
from tests.abuse.target import Target


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("url", help="the public URL")
    parser.add_argument("container", help="the container that is the server's host")
    parser.add_argument("--ca", required=True, help="certificate that clients verify against")
    parser.add_argument("--logins", required=True, type=Path, help="JSON: name and password by role")
    parser.add_argument("--seconds", type=float, default=0, help="how long; one short turn if not given")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", default="", help="attacks whose name holds this")
    parser.add_argument("--result", type=Path, help="file for the result")
    parser.add_argument("--note", default="", help="what the result says about the machine")
    wanted = parser.parse_args()
    logins = {role: (name, password) for role, (name, password) in json.loads(wanted.logins.read_text()).items()}
    target = Target(wanted.url, wanted.ca, logins, wanted.container)
    kinds = [kind for kind in KINDS if wanted.only in kind.name]
    result = abuse(target, wanted.seconds, wanted.seed, kinds, lambda line: print(line, flush=True))
    if wanted.note:
        result["note"] = wanted.note
    if wanted.result:
        wanted.result.write_text(json.dumps(result, indent=2) + "\n")
    wrong = faults(result, timing=bool(wanted.seconds))
    print("\n".join(wrong) or "nothing was wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
