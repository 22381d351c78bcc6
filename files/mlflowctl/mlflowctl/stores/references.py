"""References of the database to files in the artifact store.

A strong reference is one that MLflow writes only after the files, so if they are missing,
data is lost. Each kind of database says which rows have them.

Clients choose the content of many of these rows, so no content is an error here:
a reference that leads nowhere is reported as broken at its source.

Sources: limits of names: path_resolution(7).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlflowctl.core.errors import ControlError
from mlflowctl.core.printable import shortened

if TYPE_CHECKING:
    from mlflowctl.stores.artifacts.base import ArtifactStore, Tree
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
    """Resolves URIs of the database to paths below the store.

    Args:
        own_path: resolves the store's own forms, as :meth:`mlflowctl.stores.artifacts.base.ArtifactStore.own_path`.
        models: the locations of logged models, by ID.
        runs: the locations of runs, by ID.
        versions: the locations of model versions, by name and version.
    """

    def __init__(
        self,
        own_path: Callable[[str, str, str], str | None],
        models: dict[str, str],
        runs: dict[str, str],
        versions: dict[tuple[str, str], str],
    ) -> None:
        self._own_path = own_path
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
            case "models":
                return self._model(rest.strip("/"), depth)
            case "runs":
                run, _, below = rest.strip("/").partition("/")
                root = self._runs.get(run)
                found = self.path(root, depth + 1) if root else None
                return None if found is None else _inside(f"{found}/{below}")
        own = self._own_path(parts.scheme, parts.netloc, rest)
        return None if own is None else _inside(own)

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


def strong(reader: Reader, artifacts: ArtifactStore, source: Tree | None = None) -> Iterator[Reference]:
    """Every strong reference of the database.

    Args:
        reader: in the snapshot that the dump shares.
        artifacts: the store that ``mlflow-artifacts:/`` stands for.
        source: where to check for files, if not in the store itself.
    """
    place, found = source or artifacts, reader.locations()
    resolver = Resolver(artifacts.own_path, found.models, found.runs, found.versions)
    for kind, name, uri, need in reader.needs():
        path = resolver.path(uri) or ""
        yield Reference(kind, name, path, need, uri or "", place.holds(path, need))


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
