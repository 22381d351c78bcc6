"""The description of an installed release: version, schema head, endpoints, ASGI-only routes, UI, content types.

It is written to ``release.json`` in the virtualenv as the last step of an
installation, so its presence also marks the installation as complete.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

DESCRIPTION = Path(sys.prefix) / "release.json"


class ReleaseError(RuntimeError):
    """The release is incomplete, or MLflow has changed in something that we rely on."""


@dataclass(frozen=True)
class Release:
    """One installed release.

    Attributes:
        version: of MLflow.
        schema_head: newest Alembic revision that this MLflow knows.
        asgi_routes: regular expressions of the URL paths that MLflow's Flask
            application lacks, sorted.
        endpoints: ``METHOD /path`` of all endpoints, sorted;
            parameters as ``<name>``, those that may hold slashes as
            ``<path:name>``.
        ui_path: directory of the UI's files, below the virtualenv.
        content_types: content type by extension, as
            :func:`content_types`. All others are ``application/octet-stream``.
    """

    version: str
    schema_head: str
    asgi_routes: list[str]
    endpoints: list[str]
    ui_path: str
    content_types: dict[str, str]


def read(path: Path = DESCRIPTION) -> Release:
    """The description of the release that this interpreter belongs to.

    Raises:
        ReleaseError: it is missing, because the installation did not finish.
    """
    try:
        described = json.loads(path.read_text())
        # A later version of our code may have written more fields.
        return Release(**{field.name: described[field.name] for field in fields(Release)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ReleaseError(f"{path} is missing or damaged: run the playbook again") from error


def to_regex(path: str) -> str:
    """A regular expression for an OpenAPI path.

    A parameter may contain slashes (an MCP server's name does), so each
    becomes ``.+``.
    """
    parts = re.split(r"\{[^}]*\}", path)
    return "^" + ".+".join(re.escape(part) for part in parts) + "$"


def asgi_only(paths: dict[str, dict[str, Any]], flask_app: Any) -> list[str]:
    """The paths of MLflow's ASGI application that its Flask application cannot serve.

    Args:
        paths: ``paths`` of the ASGI application's OpenAPI document.
        flask_app: MLflow's Flask application.

    Raises:
        ReleaseError: Flask serves a path for some methods only, or a regular
            expression would also catch a route of Flask's. nginx could then
            not route by path alone.
    """
    from werkzeug.exceptions import MethodNotAllowed, NotFound

    adapter = flask_app.url_map.bind("localhost")

    def flask_serves(path: str, method: str) -> bool:
        try:
            adapter.match(re.sub(r"\{[^}]*\}", "x", path), method=method.upper())
        except (NotFound, MethodNotAllowed):
            return False
        return True

    routes = []
    for path, operations in paths.items():
        served = {flask_serves(path, method) for method in operations}
        if served == {True}:
            continue
        if served == {True, False}:
            raise ReleaseError(f"{path}: Flask serves some of its methods only")
        routes.append(to_regex(path))
    for rule in flask_app.url_map.iter_rules():
        sample = re.sub(r"<[^>]*>", "x", rule.rule)
        caught = [route for route in routes if re.match(route, sample)]
        if caught:
            raise ReleaseError(f"{caught[0]} would also catch Flask's {rule.rule}")
    return sorted(routes)


def all_endpoints(paths: dict[str, dict[str, Any]], flask_app: Any) -> list[str]:
    """All endpoints, of both of MLflow's applications and of ours.

    Args:
        paths: as for :func:`asgi_only`.
        flask_app: MLflow's Flask application.
    """
    found = {"GET /ready"}  # mlflow_host.service.ready
    for rule in flask_app.url_map.iter_rules():
        path = re.sub(r"<(?:(path:)|\w+:)?(\w+)>", r"<\1\2>", rule.rule)
        found |= {f"{method} {path}" for method in rule.methods - {"HEAD", "OPTIONS"}}
    for path, operations in paths.items():
        # OpenAPI does not say which parameters may contain slashes.
        spelt = re.sub(r"\{(\w+)\}", r"<path:\1>", path)
        found |= {f"{method.upper()} {spelt}" for method in operations if method.upper() not in ("HEAD", "OPTIONS")}
    return sorted(found)


def content_types() -> dict[str, str]:
    """MLflow's content types of artifacts by extension.

    The extension is the part after the last dot, in lower case, and for
    compressed tables, texts and archives also the one before (``csv.gz``).
    ``/name`` is a file with this name and without an extension.
    """
    import mimetypes

    from mlflow.utils.mime_type_utils import _guess_mime_type, get_text_extensions

    mimetypes.init()
    texts = get_text_extensions()
    known = {ending.lstrip(".") for ending in [*mimetypes.types_map, *mimetypes.suffix_map]} | set(texts)
    packed = {f"{inner}{outer}" for inner in [*texts, "tar"] for outer in mimetypes.encodings_map}
    types = {ending: _guess_mime_type(f"x.{ending}") for ending in known | packed}
    types |= {f"/{name}": _guess_mime_type(name) for name in texts}
    return {
        ending.lower(): kind
        for ending, kind in sorted(types.items())
        if kind != "application/octet-stream" and re.fullmatch(r"/?[A-Za-z0-9.+_-]+", ending)
    }


def describe() -> Release:
    """Inspect the MLflow of this virtualenv. Needs no database.

    Raises:
        ReleaseError: as :func:`asgi_only`, or MLflow has several schema heads.
    """
    import mlflow.server.fastapi_app as fastapi
    from alembic.script import ScriptDirectory
    from mlflow.server import app as flask_app
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.version import VERSION

    heads = ScriptDirectory.from_config(_get_alembic_config("")).get_heads()
    if len(heads) != 1:
        raise ReleaseError(f"MLflow {VERSION} has {len(heads)} schema heads, expected one")
    paths = fastapi.app.openapi()["paths"]
    return Release(
        version=VERSION,
        schema_head=heads[0],
        asgi_routes=asgi_only(paths, flask_app),
        endpoints=all_endpoints(paths, flask_app),
        ui_path=str(Path(flask_app.static_folder).resolve().relative_to(Path(sys.prefix).resolve())),
        content_types=content_types(),
    )


def main() -> int:
    """Write ``release.json`` atomically; exit 1 with the reason if that fails."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        text = json.dumps(asdict(describe()), indent=2) + "\n"
    except ReleaseError as error:
        print(f"cannot use this release: {error}", file=sys.stderr)
        return 1
    partial = DESCRIPTION.with_suffix(".partial")
    partial.write_text(text)
    partial.chmod(0o644)
    partial.replace(DESCRIPTION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
