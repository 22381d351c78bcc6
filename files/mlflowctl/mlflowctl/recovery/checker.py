"""Check that a copy holds what its database refers to. Used by backup, drill, restore and `verify`.

Only reads. Three classes: *lost* (existed when the point was taken and is not
in the copy), *broken at source* (was missing already), *extra* (files without a
reference; harmless).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflowctl.core.printable import printable, shortened
from mlflowctl.stores.references import ANYTHING, Reference, uploading

# Bytes of a name that are not UTF-8, as Python represents them. restic writes U+FFFD for each in its JSON.
SURROGATES = re.compile("[\udc80-\udcff]")


class Files:
    """The files below a store.

    Attributes:
        sizes: bytes by path relative to the store.
    """

    def __init__(self, files: Iterable[tuple[str, int]]) -> None:
        self.sizes: dict[str, int] = {}
        self._filled: set[str] = set()
        for name, size in files:
            if uploading(name):
                continue
            path = SURROGATES.sub("\ufffd", name)
            # Names that differ only in such bytes are one entry here, in the store as in the point.
            self.sizes[path] = size + (self.sizes.get(path, 0) if "\ufffd" in path else 0)
            directory = path.rpartition("/")[0]
            while directory and directory not in self._filled:
                self._filled.add(directory)
                directory = directory.rpartition("/")[0]

    @property
    def size(self) -> int:
        """Total bytes."""
        return sum(self.sizes.values())

    def holds(self, reference: Reference) -> bool:
        """Whether it holds the files that the reference needs."""
        if not reference.path:
            return False
        if reference.need == ANYTHING:
            return reference.path in self._filled or reference.path in self.sizes
        return f"{reference.path}/{reference.need}" in self.sizes


@dataclass
class Report:
    """What a check found.

    Attributes:
        references: how many were checked.
        lost: what the copy lacks, as sentences.
        broken_at_source: what was missing before the copy was made, as sentences.
        broken: the same by kind and name.
        files: how many files the copy holds.
        size: bytes in them.
    """

    references: int = 0
    lost: list[str] = field(default_factory=list)
    broken_at_source: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0

    def facts(self) -> dict[str, Any]:
        """The report for the command line."""
        return {name: value for name, value in asdict(self).items() if name != "broken"}

    @property
    def exit_code(self) -> int:
        """0: complete; 1: something was broken at its source; 3: something is lost."""
        return 3 if self.lost else 1 if self.broken_at_source else 0


def compare(references: Iterable[Reference], files: Files, expected: Files | None = None) -> Report:
    """Check every reference, and every expected file with its size.

    Args:
        references: the manifest, taken in the dump's own snapshot.
        files: what the copy holds.
        expected: files that it must also hold: the listing of the recovery point.
    """
    report = Report(files=len(files.sizes), size=files.size)
    for reference in references:
        report.references += 1
        if files.holds(reference):
            continue
        name = f"{reference.kind} {printable(reference.name)}"
        what = f"{name}: {shortened(reference.uri)} lacks {_need(reference)}"
        if reference.present:
            report.lost.append(what)
        else:
            report.broken_at_source.append(what)
            report.broken.append(name)
    if expected is not None:
        for path, size in expected.sizes.items():
            found = files.sizes.get(path)
            if found != size:
                report.lost.append(
                    f"file {printable(path)}: {size} bytes expected, {'none' if found is None else found} found"
                )
    return report


def _need(reference: Reference) -> str:
    return "any file" if reference.need == ANYTHING else reference.need


def compare_rows(expected: dict[str, int], found: dict[str, int]) -> list[str]:
    """Sentences about tables whose number of rows differs."""
    return [
        f"table {name}: {count} rows expected, {found.get(name, 'no table')} found"
        for name, count in expected.items()
        if found.get(name) != count
    ]
