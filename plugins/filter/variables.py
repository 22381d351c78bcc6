"""What is wrong with the names and values of variables, before a role sees them.

Types and names come from the roles' argument specs, so that a new variable is looked at without a word here.
Ansible's own check of them prints the whole spec, takes a text for a list, and knows no name that begins otherwise.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Spec = dict[str, Any]

# Placeholders of examples.
PLACEHOLDER = re.compile(
    r"\b(replace|change|fill|insert|put|set|edit|enter)[-_ ./]?(this|that|these|me|it|in|here|your|with|by|before)\b"
    r"|(replace|change|insert)(this|me|it|your)|place[-_ ]?holder|\byour[-_ ]?(own[-_ ]?)?(pass|secret|key|token|value)"
    r"|^<.*>$|^\{\{.*\}\}$|\b(todo|fixme|tbd)\b",
    re.IGNORECASE,
)
# No value of a secret, and perhaps one of something else.
NO_SECRET = re.compile(
    r"\b(example|sample|dummy|default|temp|temporary|some|my|test|the)[-_ ]?(pass(word|phrase)|secret|key|token)\b"
    r"|^(pass(word|phrase)|secret|token|key|admin|example|dummy|none|null)[-_ 0-9!.]*$|EXAMPLE(KEY)?$|^[.…*x_-]+$",
    re.IGNORECASE,
)
# Names of settings whose value is a secret.
SECRET_NAME = re.compile(r"pass|secret|key|token|credential", re.IGNORECASE)
HASHED_PLACEHOLDERS = ("replace-this-placeholder", "changeme", "change-me", "password")

# Texts whose default is not empty and that may be empty all the same.
MAY_BE_EMPTY = {"mlflow_proxy_ca_local_path", "mlflow_proxy_notify_unit"}
# Paths on the controller, where an inventory's directory may have any name.
ON_CONTROLLER = {"mlflow_proxy_ca_local_path"}
# Texts that each role checks itself.
OWN_RULES = {"mlflow_public_url", "mlflow_client_public_url"}
# Lists whose entries have their order, and may come twice.
MAY_REPEAT = {"mlflow_control_notify_command"}
# Dictionaries of secrets and plain values side by side: none of their values is shown.
HIDDEN = {"environment", "mlflow_settings", "mlflow_postgres_wal_archive_settings"}
KEYS = {
    "mlflow_settings": (r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and _, as of an environment variable"),
    "environment": (r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and _, as of an environment variable"),
    "mlflow_postgres_settings": (
        r"[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)?",
        "small letters, digits and _, as in postgresql.conf",
    ),
    "mlflow_postgres_wal_archive_settings": (r"[a-z][a-z0-9-]*", "small letters, digits and -, as in pgbackrest.conf"),
}
ADDRESS_LISTS = {"mlflow_outbound_addresses", "mlflow_access_ban_ignore"}
# systemd's own words for networks.
NETWORK_WORDS = {"any", "localhost", "link-local", "multicast"}
URL = re.compile(r"https?://([^/@\s]+@)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[!-~]*)?")
MAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*")
HOST_PATH = re.compile(r"/([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?")
# Services see none of these, or something else there.
UNSEEN = re.compile(r"/(home|root|tmp|var/tmp|dev|proc|sys|boot)(/|$)")
# Debian's own: a role would change whose they are.
TAKEN = re.compile(
    r"/(bin|sbin|lib|lib64)(/|$)|/usr(/(?!local/[^/]+)|$)"
    r"|/(etc|run|srv|opt|mnt|var|etc/(nginx|systemd|systemd/system|ssl|postgresql|logrotate.d)|var/(lib|log|cache|backups|spool|run)"
    r"|var/lib/(postgresql|nginx|systemd)|var/log/nginx|run/systemd)$"
)


def name_problems(names: Iterable[str], specs: dict[str, Spec], wired: Mapping[str, Any], own: list[str]) -> list[str]:
    """Unknown names, and names that only the playbook sets, as sentences.

    Args:
        names: of all variables of a host, those of other purposes included.
        specs: options of each role's argument spec, by role.
        wired: what ``playbooks/vars/wiring.yml`` sets, which wins over an inventory.
        own: further names that are right.
    """
    known = sorted({name for options in specs.values() for name in options} | set(own))
    free = [name for name in known if name not in wired]
    settable = {name for options in specs.values() for name in options} - set(wired) | {"mlflow_users"}
    problems = []
    for name in sorted(set(names) - set(known) - set(wired)):
        meant = _meant(name, specs, free)
        if meant is not None:
            fix = f"Did you mean {meant}?" if meant else "Remove it; the README of each role lists the names."
            problems.append(f"{name} is an unknown variable. {fix}")
    for name in sorted(set(names) & set(wired)):
        sources = sorted(set(re.findall(r"\bmlflow_\w+", str(wired[name]))) & settable)
        problems.append(
            f"{name} would have no effect, because the playbook sets it itself: "
            + (f"set {' or '.join(sources)} instead." if sources else "remove it.")
        )
    return problems


def _meant(name: str, specs: dict[str, Spec], known: list[str]) -> str | None:
    """The known name that was meant; "" if it has our prefix and is similar to none; None if it is not ours."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    prefix = plain.split("_", maxsplit=1)[0]
    ours = _distance(prefix, "mlflow") <= 2 < len(prefix)
    if plain in specs or name.startswith(("ansible_", "_", "vault_")) or (name.isupper() and plain not in known):
        return None
    nearest = min(known, key=lambda other: (_distance(plain, other), other))
    if _distance(plain, nearest) <= 2:
        return nearest
    if not ours:
        return None
    return (difflib.get_close_matches(plain, known, n=1, cutoff=0.7) or [""])[0]


def _distance(one: str, other: str) -> int:
    """How many letters were left out, added, changed or swapped with their neighbour."""
    if abs(len(one) - len(other)) > 3:
        return 9
    rows = [list(range(len(other) + 1))]
    for i, left in enumerate(one, 1):
        row = [i]
        for j, right in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def value_problems(values: Mapping[str, Any], specs: dict[str, Spec]) -> list[str]:
    """Invalid values, as sentences; none of them shows a secret.

    Args:
        values: the variables of a host; only those that a role knows are looked at.
        specs: options of each role's argument spec, by role.
    """
    options = {name: option for role in specs.values() for name, option in role.items()}
    if "mlflow_access_users" in options:
        options["mlflow_users"] = options["mlflow_access_users"]
    missing = [
        name for name, option in specs.get("mlflow", {}).items() if option.get("required") and name not in values
    ]
    problems = [
        f"missing required arguments: {name}. Set it, {options[name]['description'].split(',')[0].lower()}."
        for name in missing
    ]
    for name in sorted(set(values) & set(options)):
        try:
            value = values[name]
        except Exception as error:  # whatever Ansible's templating raises
            problems.append(f"{name} cannot be evaluated: {str(error).splitlines()[0]}")
            continue
        problems += _one(name, name, value, options[name])
    return problems + ([] if problems else _paths_apart(values, options))


def _one(where: str, name: str, value: Any, option: Spec, hidden: bool = False) -> list[str]:
    hidden = hidden or bool(option.get("no_log"))
    wrong = _type_problem(where, value, option, hidden)
    if wrong:
        return [wrong]
    kind = option.get("type", "str")
    if kind in ("str", "path"):
        return _text(where, name, value, option, hidden)
    if kind == "list":
        return _list(where, name, value, option, hidden)
    if kind == "dict":
        return _dict(where, name, value, option, hidden)
    return []


def _shown(value: Any, hidden: bool) -> str:
    if hidden:
        return "not shown here"
    text = re.sub(r"//[^/@\s]*@", "//…@", repr(value))
    return text if len(text) <= 120 else text[:117] + "…"


def _type_problem(where: str, value: Any, option: Spec, hidden: bool) -> str:
    kind = option.get("type", "str")
    shown = f"{where} is {_shown(value, hidden)}"
    if value is None:
        return f"{where} has no value: set one, or remove the line for the default."
    if kind == "bool" and not isinstance(value, bool):
        return (
            f"{shown}: write true or false, without quotes (on the command line as JSON, -e '{{\"{where}\": false}}')."
        )
    if kind == "int" and (isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,12}", str(value))):
        return f"{shown}: use a whole number, such as {option.get('default', 1)}."
    if kind in ("str", "path") and not isinstance(value, str):
        fix = (
            "one text, not a list or dictionary"
            if isinstance(value, list | dict)
            else "it in quotes, so that it stays a text"
        )
        return f"{shown}: write {fix}."
    if kind == "list" and not isinstance(value, list):
        example = "first, second" if option.get("elements") == "str" else "{name: …}"
        return f"{shown}: write a list, such as [{example}], also for a single entry."
    if kind == "dict" and not isinstance(value, dict):
        return f"{shown}: write names and values, such as {{name: value}}."
    if "choices" in option and value not in option["choices"] and value.isprintable():
        near = difflib.get_close_matches(str(value), option["choices"], n=1)
        return f"{shown}: use one of {', '.join(option['choices'])}{f' (did you mean {near[0]}?)' if near else ''}."
    return ""


def _text(where: str, name: str, value: str, option: Spec, hidden: bool) -> list[str]:
    shown = f"{where} is {_shown(value, hidden)}"
    # Each says what is wrong by itself, so one is enough.
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        return [f"{shown}: it holds a line break or another control character; write it on one line."]
    if name not in KEYS and value != value.strip():
        return [f"{shown}: remove the spaces at its beginning or end."]
    if value == "":
        needed = option.get("required") or (option.get("default") and name not in MAY_BE_EMPTY)
        fix = (
            f"set a value, or remove the line for the default, {option['default']}"
            if option.get("default")
            else "give a value"
        )
        return [f"{where} is empty: {fix}."] if needed and name not in OWN_RULES else []
    secret = option.get("no_log") or (hidden and SECRET_NAME.search(where.removeprefix(name)))
    if ((hidden or name.endswith("_url")) and PLACEHOLDER.search(value)) or (secret and NO_SECRET.search(value)):
        return [f"{where} is still a placeholder, as examples have one: set your own value. It is not shown here."]
    if option.get("no_log") and len(value) >= 16 and len(set(value)) < 8:
        return [
            f"{where} is weak: it has {len(set(value))} different characters; use a random one. It is not shown here."
        ]
    if name in OWN_RULES | ON_CONTROLLER:
        return []
    if name.endswith(("_path", "_paths", "_ca_bundle")) or option.get("type") == "path":
        return _path(shown, name, value)
    if name.endswith(("_url", "_pip_proxy")) and not URL.fullmatch(value):
        return [f"{shown}: write a whole URL with its scheme, such as https://name.example.com/path."]
    if name.endswith(("_mail", "_email")) and not MAIL.fullmatch(value):
        return [f"{shown}: write one mail address, such as operator@example.com."]
    return []


def _path(shown: str, name: str, value: str) -> list[str]:
    if not HOST_PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        return [
            f"{shown}: use an absolute path of letters, digits and . _ - / only, without .., // or a closing slash, "
            "such as /srv/mlflow."
        ]
    if name.endswith("_path") and UNSEEN.match(value) and name != "mlflow_volume_path":
        return [f"{shown}, where the services' sandboxes see nothing: use a path such as /srv/mlflow."]
    if (
        TAKEN.match(value)
        and name.endswith("_path")
        and name not in ("mlflow_volume_path", "mlflow_database_socket_path")
    ):
        return [f"{shown}, which belongs to the system: use a directory of its own, such as /srv/mlflow."]
    # Sockets have at most 107 characters.
    longest = 80 if name == "mlflow_runtime_path" else 200
    return [f"{shown}: it has {len(value)} characters, use {longest} or fewer."] if len(value) > longest else []


def _list(where: str, name: str, value: list[Any], option: Spec, hidden: bool) -> list[str]:
    problems: list[str] = []
    inner: Spec = {"type": option.get("elements", "str"), "options": option.get("options")}
    for place, entry in enumerate(value, 1):
        label = entry.get("name") if isinstance(entry, dict) else None
        problems += _one(f"{where}[{label or place}]", name, entry, inner, hidden)
        if inner["type"] in ("str", "path") and entry == "":
            problems.append(f"{where} has an empty entry: remove it.")
        if name in ADDRESS_LISTS and isinstance(entry, str):
            problems += _address(where, entry)
    texts = Counter(entry for entry in value if isinstance(entry, str))
    if name not in MAY_REPEAT and not problems:
        problems += [
            f"{where} has {_shown(entry, hidden)} {count} times: keep one."
            for entry, count in texts.items()
            if count > 1
        ]
    return problems


def _address(where: str, entry: str) -> list[str]:
    if where == "mlflow_outbound_addresses" and entry in NETWORK_WORDS:
        return []
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return [
            f"{where} has {entry!r}, which is not an address: write addresses or networks, such as 192.0.2.20 or "
            "192.0.2.0/24. A name is ignored there, so write what it resolves to."
        ]
    return []


def _dict(where: str, name: str, value: dict[Any, Any], option: Spec, hidden: bool) -> list[str]:
    problems: list[str] = []
    suboptions: Spec | None = option.get("options")
    key_rule = KEYS.get(name)
    for key, entry in value.items():
        label = f"{where}.{key}"
        if suboptions is not None:
            if key in suboptions:
                problems += _one(label, str(key), entry, suboptions[key], hidden or key in HIDDEN)
            else:
                near = difflib.get_close_matches(str(key), list(suboptions), n=1)
                problems.append(f"{where} has the unknown key {key}: use {near[0] if near else ', '.join(suboptions)}.")
        elif name == "mlflow_users":
            problems += _user(label, value, str(key), entry)
        elif key_rule and not re.fullmatch(key_rule[0], str(key)):
            problems.append(f"{where} has the name {str(key)!r}: use {key_rule[1]}.")
        elif key_rule and not isinstance(entry, str | int | float | bool):
            problems.append(f"{label} is {_shown(entry, name in HIDDEN)}: write one text, number or truth value.")
        elif key_rule and isinstance(entry, str):
            problems += _text(label, name, entry, {}, name in HIDDEN)
    if suboptions is not None:
        problems += [
            f"{where} has no {key}: set one."
            for key, sub in suboptions.items()
            if sub.get("required") and key not in value
        ]
    return problems


def _user(label: str, user: dict[Any, Any], key: str, entry: Any) -> list[str]:
    """Placeholders only: the role says the rest about users."""
    text = str(entry)
    if key == "password":
        found = bool(PLACEHOLDER.search(text) or NO_SECRET.search(text))
    elif key == "password_hash":
        # Not above: Ansible loads every filter anew for each task, and few of them need passlib.
        from passlib.context import CryptContext

        hashes = CryptContext(schemes=["sha512_crypt", "sha256_crypt"])
        cheap = hashes.identify(text) and not re.search(r"rounds=[0-9]{6}", text)
        found = bool(cheap) and any(hashes.verify(word, text) for word in HASHED_PLACEHOLDERS)
    else:
        return []
    name = user.get("name", "")
    return (
        [f"mlflow_users: the {key} of {name!r} is still a placeholder, as examples have one: set your own."]
        if found
        else []
    )


def _paths_apart(values: Mapping[str, Any], options: Spec) -> list[str]:
    """Paths that are the same, or parts of the host that would be on the artifact volume."""
    names = [
        "mlflow_root_path", "mlflow_config_path", "mlflow_home_path", "mlflow_runtime_path",
        "mlflow_pip_cache_path", "mlflow_volume_path", "mlflow_backup_state_path", "mlflow_postgres_wal_archive_path",
    ]  # fmt: skip
    places = {name: str(values.get(name, options[name]["default"])) for name in names if name in options}
    given = set(places) & set(values)
    problems = []
    for name, place in places.items():
        for other, place_of_other in places.items():
            if name == other or not {name, other} & given:
                continue
            if place == place_of_other and name < other:
                problems.append(f"{name} and {other} are both {place!r}: give each a place of its own.")
            elif other == "mlflow_volume_path" and place.startswith(place_of_other + "/"):
                problems.append(
                    f"{name} is {place!r}, which is on the artifact volume {place_of_other}: use one outside of it."
                )
    return problems


def schedule_problems(schedules: list[dict[str, str]], shown: str, errors: str) -> list[str]:
    """The schedules that systemd does not understand, or that never elapse, as sentences.

    Args:
        schedules: name of the variable and its value.
        shown: what ``systemd-analyze calendar`` has printed about all of them.
        errors: and what it has complained of.
    """
    never = {
        found.group(1).strip()
        for block in shown.split("\n\n")
        if "Next elapse: never" in block
        and (found := re.search(r"Original form: (.*)", block) or re.search(r"Normalized form: (.*)", block))
    }
    problems = []
    for schedule in schedules:
        value = str(schedule["value"])
        if f"'{value}'" in errors:
            problems.append(f"{schedule['name']} is {value!r}, which systemd does not understand")
        elif value.strip() in never:
            problems.append(f"{schedule['name']} is {value!r}, which never elapses")
    return problems or ([f"systemd says {errors.strip()}"] if errors.strip() else [])


def url_problem(url: str) -> str:
    """The first problem of a public URL, as a sentence with a valid one; empty if there is none."""
    example = "Write https://mlflow.example.com."
    _, _, rest = str(url).partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host, colon, port = authority.partition(":")
    if not str(url).startswith("https://"):
        return f"it must begin with https://, because MLflow is served over TLS only. {example}"
    if "@" in str(url):
        return f"it must not hold a user name or password. {example}"
    labels = host.split(".")
    good = len(host) <= 253 and all(
        re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label) for label in labels
    )
    if good and labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            good = False
    if not good:
        return f"its host must be a DNS name or an IPv4 address. {example}"
    if host != host.lower():
        return f"its host must be in small letters, as browsers write it. Write https://{host.lower()}."
    if colon and not (re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= 65535):
        return "its port must be a number from 1 to 65535. Write https://mlflow.example.com:8443."
    if port == "443":
        return (
            f"443 is the port of https anyway, and browsers leave it out. Write https://{host}{rest[len(authority) :]}."
        )
    if not re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", rest[len(authority) :]):
        return (
            "what follows the host or port can only be a path of letters, digits and . _ -, without a closing slash or "
            "a query. Write https://mlflow.example.com or https://example.com/mlflow."
        )
    return ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {
            "name_problems": name_problems,
            "value_problems": value_problems,
            "schedule_problems": schedule_problems,
            "url_problem": url_problem,
        }
