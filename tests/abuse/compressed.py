"""Compressed bodies that are small on the wire and large in memory, and bodies with a wrong encoding."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.abuse.found import Attack
from tests.abuse.target import REST

MIB = 2**20
BOMBS = 4


def _zeros(mebibytes: int, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [packer.compress(bytes(MIB)) for _ in range(mebibytes)]
    return b"".join([*parts, packer.flush()])


def bombs(attack: Attack) -> None:
    """A few hundred KiB that decompress to hundreds of MiB are limited by their decompressed size."""
    rng, target, found = attack.rng, attack.target, attack.found
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
    while attack.has_time():
        size = rng.randrange(80, 400)
        # Created when they are needed: hundreds of MiB take a while.
        kinds: list[tuple[str, str, Callable[[int], bytes]]] = [
            ("gzip", "gzip", lambda size: _zeros(size, 31)),
            ("deflate", "deflate", lambda size: _zeros(size, 15)),
            ("bare deflate", "deflate", lambda size: _zeros(size, -15)),
            (f"gzip of {size} members", "gzip", lambda size: gzip.compress(bytes(MIB)) * size),
            ("gzip within gzip", "gzip", lambda size: gzip.compress(_zeros(size, 31))),
        ]
        rng.shuffle(kinds)
        with target.session("editor") as http, ThreadPoolExecutor(BOMBS) as pool:
            for what, encoding, make in kinds:
                body = make(size)
                url = f"{target.url}/v1/traces"
                more = headers | {"Content-Encoding": encoding}
                # Bodies that are compressed twice or have no header may be refused before they are decompressed.
                right = {"413"} if what.startswith(("gzip of", "deflate")) or what == "gzip" else {"400", "413", "415"}
                words = f"{what} of {size} MiB to /v1/traces"
                for asked in [
                    pool.submit(found.ask, words, right, http, "POST", url, data=body, headers=more)
                    for _ in range(BOMBS)
                ]:
                    asked.result()
                if not attack.has_time():
                    break


def wrong(attack: Attack) -> None:
    """Unknown encodings, truncated bodies, and compressed requests to the REST API: refused, never 5xx."""
    rng, target, found = attack.rng, attack.target, attack.found
    # MLflow treats a body that it cannot parse as empty.
    right = {"200", "400", "403", "413", "415"}
    packed = gzip.compress(b'{"max_results": 1}')
    while attack.has_time():
        bodies = [
            ("gzip", packed[: rng.randrange(1, len(packed))]),
            ("gzip", rng.randbytes(300)),
            ("deflate", rng.randbytes(300)),
            (rng.choice(["br", "zstd", "compress", attack.word()]), rng.randbytes(300)),
            ("gzip, gzip", gzip.compress(packed)),
            ("identity, gzip", packed),
        ]
        with target.session("editor") as http:
            for encoding, body in bodies:
                for path, kind in (
                    ("/v1/traces", "application/x-protobuf"),
                    (f"{REST}/runs/search", "application/json"),
                ):
                    headers = {"Content-Encoding": encoding, "Content-Type": kind, "x-mlflow-experiment-id": "0"}
                    found.ask(
                        f"wrong {encoding} to {path}",
                        right,
                        http,
                        "POST",
                        target.url + path,
                        data=body,
                        headers=headers,
                    )
