"""For clients: an archive with what they need to connect, and the user that the server sees."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflowctl.access import tokens
from mlflowctl.access.declared import Access, users
from mlflowctl.core.errors import ControlError, Refused

_SECONDS = 30

_PAGE = """# MLflow at {url}

You are `{name}`. {secret}

| you use | do |
|---|---|
| sh, bash, zsh | `. ./env.sh` |
| PowerShell | `. .\\env.ps1` |
| Python | `import env` before MLflow, with this folder as the working directory |
| R | `readRenviron("env.sh")` does not ask; set `{variables}` with `Sys.setenv(...)`; the package `mlflow` reads them |
| Java | set the same variables; {java} |
| a browser | open {url} |

Try it: `python -c "import mlflow; print(len(mlflow.search_experiments()))"`
"""


def bundle(access: Access, name: str, where: Path) -> dict[str, Any]:
    """Write an archive for a user or a token. It holds no secret.

    Args:
        access: the configuration.
        name: of a user or token.
        where: the archive; it must not exist.

    Returns:
        ``archive`` and what it holds.

    Raises:
        ControlError: no user or token has that name, or the file exists.
    """
    is_token = name in tokens.read(access)
    if not is_token and name not in users(access):
        raise Refused(f"there is no user or token {name!r}: see mlflow_users, and mlflowctl token list")
    if where.exists():
        raise Refused(f"{where} exists: name another file with --output")
    plain = {"MLFLOW_TRACKING_URI": access.public_url} | ({} if is_token else {"MLFLOW_TRACKING_USERNAME": name})
    secret = "MLFLOW_TRACKING_TOKEN" if is_token else "MLFLOW_TRACKING_PASSWORD"
    ca = access.ca.read_text() if access.ca else ""
    variables = [*plain, secret, *(["MLFLOW_TRACKING_SERVER_CERT_PATH"] if ca else [])]
    page = _PAGE.format(
        url=access.public_url,
        name=name,
        secret=f"Your {'token' if is_token else 'password'} is not in here; the scripts ask for it.",
        variables="`, `".join(variables),
        java="`keytool -importcert -file ca.crt -alias mlflow -cacerts` once" if ca else "nothing else is needed",
    )
    files = {
        "README.md": page,
        "env.sh": _shell(plain, secret, bool(ca)),
        "env.ps1": _powershell(plain, secret, bool(ca)),
        "env.py": _python(plain, secret, bool(ca)),
    } | ({"ca.crt": ca} if ca else {})
    with zipfile.ZipFile(where, "x") as archive:
        for file, text in files.items():
            archive.writestr(f"mlflow-{name}/{file}", text)
    return {"archive": str(where), "files": sorted(files)}


def _shell(plain: Mapping[str, str], secret: str, ca: bool) -> str:
    lines = [f"export {key}='{value}'" for key, value in plain.items()]
    if ca:
        lines.append('export MLFLOW_TRACKING_SERVER_CERT_PATH="$PWD/ca.crt"')
    ask = f"printf '{secret}: ' >&2; stty -echo; read -r {secret}; stty echo; echo >&2; export {secret}"
    return "# Read it into your shell, in this folder: . ./env.sh\n" + "\n".join([*lines, ask]) + "\n"


def _powershell(plain: Mapping[str, str], secret: str, ca: bool) -> str:
    lines = [f"$env:{key} = '{value}'" for key, value in plain.items()]
    if ca:
        lines.append('$env:MLFLOW_TRACKING_SERVER_CERT_PATH = "$PSScriptRoot\\ca.crt"')
    ask = f"$env:{secret} = [Net.NetworkCredential]::new('', (Read-Host '{secret}' -AsSecureString)).Password"
    return "# Read it into your session: . .\\env.ps1\n" + "\n".join([*lines, ask]) + "\n"


def _python(plain: Mapping[str, str], secret: str, ca: bool) -> str:
    lines = [f'os.environ["{key}"] = "{value}"' for key, value in plain.items()]
    if ca:
        lines.append('os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(Path(__file__).parent / "ca.crt")')
    ask = f'if "{secret}" not in os.environ:\n    os.environ["{secret}"] = getpass("{secret}: ")'
    head = '"""Import this before MLflow."""\n\nimport os\nfrom getpass import getpass\nfrom pathlib import Path\n\n'
    return head + "\n".join([*lines, ask]) + "\n"


def whoami(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Ask the server which user and role it sees for the login in the environment variables of MLflow's clients.

    Raises:
        ControlError: the server does not accept the login, or does not answer.
    """
    url = environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not url.startswith("https://"):
        raise Refused(f"MLFLOW_TRACKING_URI is {url!r}: set the variables of a client, with the login")
    name, password = (environment.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    login = f"Basic {pair}" if name else f"Bearer {environment.get('MLFLOW_TRACKING_TOKEN', '')}"
    context = ssl.create_default_context(cafile=environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    request = urllib.request.Request(f"{url}/-/whoami", headers={"Authorization": login})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise ControlError(f"{url} answers {error.code}: it does not accept this login") from error
    except OSError as error:
        raise ControlError(f"{url} does not answer: {error}") from error
