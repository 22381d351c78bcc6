"""What the database says must be in the artifact store.

A strong reference is one that MLflow writes only after the files: READY
logged models and model versions, archived traces. If such files are missing,
something is lost. The run row, on the other hand, comes before its files, so
a run without any is healthy.

Clients choose what many of these rows say. So nothing that a row says is an
error here: what leads nowhere is broken at its source, and is reported as that.

Sources: ``mlflow/store/tracking/dbmodels/models.py``,
``mlflow/store/model_registry/dbmodels/models.py``,
``mlflow/tracing/constant.py`` (``TraceTagKey``) of MLflow 3.17.2; limits of names: path_resolution(7).
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg

from mlflowctl.core import beneath
from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import shortened

# Beginning of the name of an upload in progress, which no point holds, nor anything below a directory of such a name.
UPLOADING = ".artifact.uploading."
# Bytes of one name and of a path, beyond which no file system of Linux has one.
NAME_BYTES, PATH_BYTES = 255, 4096
# Characters of a line of the manifest, which holds one name, one path and one URI.
LONGEST = 1 << 20
# So many references lead to one another: more are a circle.
DEPTH = 5
# What must be there: a name below the path, or anything at all.
ANYTHING = "*"


@dataclass(frozen=True)
class Reference:
    """One thing that the database relies on.

    Attributes:
        kind: ``logged_model``, ``model_version`` or ``trace``.
        name: the ID by which a person finds it.
        path: below the store; empty if it lies outside of it.
        need: file below ``path`` that must exist, or :data:`ANYTHING`.
        uri: as written in the database.
        present: whether the files were there when the snapshot was taken.
            What was missing already is the source's problem, not a loss.
    """

    kind: str
    name: str
    path: str
    need: str
    uri: str
    present: bool


class Resolver:
    """Turns the URIs of the database into paths below the store."""

    def __init__(self, store: Path, models: dict[str, str], runs: dict[str, str], versions: dict[tuple[str, str], str]):
        self._store = str(store).rstrip("/") + "/"
        self._models = models
        self._runs = runs
        self._versions = versions

    def path(self, uri: str | None, depth: int = 0) -> str | None:
        """The path below the store, or ``None`` for what lies elsewhere or nowhere. Never an exception.

        A URI that points out of the store by ``..`` is elsewhere, too.
        """
        if not uri or depth > DEPTH:
            return None
        try:
            parts = urlsplit(uri)
        except ValueError:  # brackets that are no IPv6 address, and some characters in a host's name
            return None
        rest = decoded(parts.path)
        match parts.scheme:
            case "mlflow-artifacts":
                return _inside(rest)
            case "file" | "":
                return _inside(rest[len(self._store) :]) if rest.startswith(self._store) else None
            case "models":
                return self._model(rest.strip("/"), depth)
            case "runs":
                run, _, below = rest.strip("/").partition("/")
                root = self._runs.get(run)
                found = self.path(root, depth + 1) if root else None
                return None if found is None else _inside(f"{found}/{below}")
        return None

    def _model(self, name: str, depth: int) -> str | None:
        identifier, _, below = name.partition("/")
        if root := self._models.get(identifier):
            found = self.path(root, depth + 1)
            return None if found is None else _inside(f"{found}/{below}")
        source = self._versions.get((identifier, below))
        return self.path(source, depth + 1) if source else None


def _inside(path: str) -> str | None:
    """A relative path without tricks, as a file system can have it, or ``None``."""
    parts = PurePosixPath("/" + path.strip("/")).parts[1:]
    found = "/".join(parts)
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return None
    if ".." in parts or "\0" in found or max(sizes, default=0) > NAME_BYTES or len(found.encode()) > PATH_BYTES:
        return None
    return found


def decoded(path: str) -> str:
    """A path as MLflow decodes it: until nothing changes (``mlflow.utils.uri._decode``)."""
    while (again := unquote(path)) != path:
        path = again
    return path


def uploading(path: str) -> bool:
    """Whether a path is an upload in progress, or lies below one: restic leaves out the same."""
    return any(part.startswith(UPLOADING) for part in path.split("/"))


def strong(connection: psycopg.Connection[Any], store: Path, copy: Path | None = None) -> Iterator[Reference]:
    """Every strong reference of the database, in one pass of set queries.

    Args:
        connection: in the snapshot that the dump shares.
        store: the directory that ``mlflow-artifacts:/`` stands for.
        copy: where to look whether files are there, if not in the store itself.
    """
    place = copy or store
    fetch = connection.execute
    models = dict(fetch("SELECT model_id, artifact_location FROM logged_models").fetchall())
    runs = dict(fetch("SELECT run_uuid, artifact_uri FROM runs WHERE artifact_uri IS NOT NULL").fetchall())
    versions = {
        (name, str(version)): location or source or ""
        for name, version, location, source in fetch(
            "SELECT name, version, storage_location, source FROM model_versions"
        ).fetchall()
    }
    resolver = Resolver(store, models, runs, versions)

    def reference(kind: str, name: str, uri: str | None, need: str) -> Reference:
        path = resolver.path(uri) or ""
        return Reference(kind, name, path, need, uri or "", there(place, path, need))

    # LoggedModelStatus.READY is 2 in the database.
    for name, uri in fetch(
        "SELECT model_id, artifact_location FROM logged_models m WHERE status = 2 AND lifecycle_stage = 'active'"
        " AND NOT EXISTS (SELECT 1 FROM logged_model_tags t WHERE t.model_id = m.model_id"
        "                 AND t.tag_key = 'mlflow.model.isExternal') ORDER BY 1"
    ).fetchall():
        yield reference("logged_model", name, uri, "MLmodel")

    for name, version, location, source in fetch(
        "SELECT name, version, storage_location, source FROM model_versions v"
        " WHERE status = 'READY' AND current_stage <> 'Deleted_Internal'"
        " AND coalesce(source, '') NOT IN ('dummy-source', 'prompt-template')"
        " AND NOT EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace AND t.name = v.name"
        "                 AND t.version = v.version AND t.key = 'mlflow.prompt.is_prompt') ORDER BY 1, 2"
    ).fetchall():
        yield reference("model_version", f"{name}/{version}", location or source, ANYTHING)

    for name, uri in fetch(
        "SELECT l.request_id, a.value FROM trace_tags l JOIN trace_tags a USING (request_id)"
        " WHERE l.key = 'mlflow.trace.spansLocation' AND l.value = 'ARCHIVE_REPO'"
        " AND a.key = 'mlflow.trace.archiveLocation' ORDER BY 1"
    ).fetchall():
        yield reference("trace", name, uri, "traces.pb")

    # Traces of MLflow 2: their spans never were in the database.
    for name, uri in fetch(
        "SELECT a.request_id, a.value FROM trace_tags a WHERE a.key = 'mlflow.artifactLocation'"
        " AND NOT EXISTS (SELECT 1 FROM trace_tags l WHERE l.request_id = a.request_id"
        "                 AND l.key = 'mlflow.trace.spansLocation' AND l.value <> 'ARTIFACT_REPO')"
        " AND NOT EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = a.request_id) ORDER BY 1"
    ).fetchall():
        yield reference("trace", name, uri, "traces.json")


def there(store: Path, path: str, need: str) -> bool:
    """Whether a store holds what is needed, now, as a regular file that a point will hold; by no link.

    Args:
        store: the directory.
        path: below it; empty if the reference leads nowhere.
        need: as of :class:`Reference`.
    """
    if not path or uploading(path):
        return False
    root, place = store.parent, f"{store.name}/{path}"
    try:
        found = beneath.look(root, place if need == ANYTHING else f"{place}/{need}")
        if found is None or need != ANYTHING or not stat.S_ISDIR(found.st_mode):
            return found is not None and stat.S_ISREG(found.st_mode)
        return any(not uploading(name) for name, _ in beneath.walk(root, place))
    except (OSError, ValueError, ControlError):
        return False


def write(references: Iterable[Reference], path: Path) -> int:
    """Write one JSON object a line; returns how many."""
    count = 0
    with path.open("w") as file:
        for reference in references:
            file.write(json.dumps(asdict(reference)) + "\n")
            count += 1
    return count


def read(path: Path) -> Iterator[Reference]:
    """The references of a file that :func:`write` wrote, or that somebody else has put in its place.

    Raises:
        ControlError: it holds something else.
    """
    try:
        with path.open() as file:
            while line := file.readline(LONGEST):
                yield checked(Reference(**json.loads(line)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ControlError(
            f"{path.name} of the point cannot be used ({shortened(error)}): take another point"
        ) from error


def checked(found: Reference) -> Reference:
    """A reference whose fields have the types that they should.

    Raises:
        TypeError: one has not.
    """
    texts = (found.kind, found.name, found.path, found.need, found.uri)
    if not (all(isinstance(text, str) for text in texts) and isinstance(found.present, bool)):
        raise TypeError("a field of a reference has another type")
    return found
