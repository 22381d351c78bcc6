"""References of the database to files in the artifact store.

A strong reference is one that MLflow writes only after the files, so if they are missing,
data is lost. Each kind of database says which rows have them.

Clients choose the content of many of these rows, so no content is an error here:
a reference that leads nowhere is reported as broken at its source.

Sources: limits of names: path_resolution(7).
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlflowctl.core import beneath
from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import shortened

if TYPE_CHECKING:
    from mlflowctl.stores.database.base import Reader

# Prefix of the name of an upload in progress. Points leave out such files, and everything below such directories.
UPLOADING = ".artifact.uploading."
# Limits of Linux file systems for a name and a path, in bytes.
NAME_BYTES, PATH_BYTES = 255, 4096
# Limit of a line of the manifest, which holds one name, one path and one URI, in characters.
LONGEST = 1 << 20
# Maximum length of a chain of references: a longer one is treated as a cycle.
DEPTH = 5
# Value of `need` if any file will do.
ANYTHING = "*"


@dataclass(frozen=True)
class Reference:
    """A reference of the database to artifacts.

    Attributes:
        kind: ``logged_model``, ``model_version`` or ``trace``.
        name: its ID.
        path: below the store; empty if it is outside.
        need: file below ``path`` that must exist, or :data:`ANYTHING`.
        uri: as written in the database.
        present: whether the files existed when the snapshot was taken.
            If not, it is broken at its source, which is not a loss.
    """

    kind: str
    name: str
    path: str
    need: str
    uri: str
    present: bool


class Resolver:
    """Resolves URIs of the database to paths below the store."""

    def __init__(self, store: Path, models: dict[str, str], runs: dict[str, str], versions: dict[tuple[str, str], str]):
        self._store = str(store).rstrip("/") + "/"
        self._models = models
        self._runs = runs
        self._versions = versions

    def path(self, uri: str | None, depth: int = 0) -> str | None:
        """The path below the store, or ``None`` if the URI is invalid or leads elsewhere. Never raises.

        A URI that leaves the store by ``..`` leads elsewhere, too.
        """
        if not uri or depth > DEPTH:
            return None
        try:
            parts = urlsplit(uri)
        except ValueError:  # invalid IPv6 address or host name
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
    """A normalized relative path that a file system accepts, or ``None``."""
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
    """A path decoded like in MLflow: until nothing changes (``mlflow.utils.uri._decode``)."""
    while (again := unquote(path)) != path:
        path = again
    return path


def uploading(path: str) -> bool:
    """Whether a path is an upload in progress, or below one: restic excludes the same."""
    return any(part.startswith(UPLOADING) for part in path.split("/"))


def strong(reader: Reader, store: Path, copy: Path | None = None) -> Iterator[Reference]:
    """Every strong reference of the database.

    Args:
        reader: in the snapshot that the dump shares.
        store: the directory that ``mlflow-artifacts:/`` stands for.
        copy: where to check for files, if not in the store itself.
    """
    place, found = copy or store, reader.locations()
    resolver = Resolver(store, found.models, found.runs, found.versions)
    for kind, name, uri, need in reader.needs():
        path = resolver.path(uri) or ""
        yield Reference(kind, name, path, need, uri or "", is_present(place, path, need))


def is_present(store: Path, path: str, need: str) -> bool:
    """Whether the store holds the needed files now, as regular files that a point includes, without links.

    Args:
        store: the directory.
        path: below it; empty if the reference leads nowhere.
        need: as of :class:`Reference`.
    """
    if not path or uploading(path):
        return False
    root, place = store.parent, f"{store.name}/{path}"
    try:
        found = beneath.lstat(root, place if need == ANYTHING else f"{place}/{need}")
        if found is None or need != ANYTHING or not stat.S_ISDIR(found.st_mode):
            return found is not None and stat.S_ISREG(found.st_mode)
        return any(not uploading(name) for name, _ in beneath.walk(root, place))
    except (OSError, ValueError, ControlError):
        return False


def write(references: Iterable[Reference], path: Path) -> int:
    """Write one JSON object per line; returns the number of references."""
    count = 0
    with path.open("w") as file:
        for reference in references:
            file.write(json.dumps(asdict(reference)) + "\n")
            count += 1
    return count


def read(path: Path) -> Iterator[Reference]:
    """The references in a file, which may be forged.

    Raises:
        ControlError: it holds something else.
    """
    try:
        with path.open() as file:
            while line := file.readline(LONGEST):
                yield checked(Reference(**json.loads(line)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ControlError(
            f"{path.name} of the point cannot be used ({shortened(error)}): use another point"
        ) from error


def checked(found: Reference) -> Reference:
    """The reference, if its fields have the right types.

    Raises:
        TypeError: a field has another type.
    """
    texts = (found.kind, found.name, found.path, found.need, found.uri)
    if not (all(isinstance(text, str) for text in texts) and isinstance(found.present, bool)):
        raise TypeError("a field of a reference has another type")
    return found
