"""The list of attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.abuse import compressed, costly, fields, guessing, links, names, origins, rows, sizes, slow
from tests.abuse.found import Attack


@dataclass(frozen=True)
class Kind:
    """One kind of abuse.

    Attributes:
        name: what the result calls it.
        run: runs until its time is over.
        short: seconds of it in a short run.
        long: in a long one; more than slow.BOUND, so that even the slowest clients are disconnected.
    """

    name: str
    run: Callable[[Attack], None]
    short: int
    long: int = 45


# Invalid rows come last: until they are removed, operations report them.
KINDS = [
    Kind("bodies without a login", sizes.without_login, 4),
    Kind("large questions", sizes.questions, 4),
    Kind("large heads", sizes.heads, 1),
    Kind("slow senders", slow.senders, 12, 240),
    Kind("slow readers", slow.readers, 8, 240),
    Kind("compressed bodies", compressed.bombs, 4),
    Kind("wrong encodings", compressed.wrong, 1),
    Kind("guessing", guessing.many_addresses, 5),
    Kind("costly questions", costly.questions, 4),
    Kind("unusual names", names.artifacts, 5),
    Kind("links, by HTTP", links.through_http, 2),
    Kind("links, by mlflowctl", links.through_operations, 3),
    Kind("forged fields", fields.forged, 2),
    Kind("foreign origins", origins.foreign, 3),
    Kind("invalid rows", rows.addresses, 4),
]
