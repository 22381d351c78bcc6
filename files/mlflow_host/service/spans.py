"""Refuse more spans at once than an ASGI worker can parse quickly.

A protobuf message can have two bytes and takes a hundred times as much memory; in JSON
one of three bytes takes 5 µs of the event loop's thread. 32 MiB of them took a minute,
or gigabytes. So the parts are counted before MLflow parses them.

Source: opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto, and
protobuf's encoding (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

# Exporters send some hundred spans at once, with some fifty fields each.
MOST_FIELDS = 500_000
MOST_SPANS = 20_000
# Objects and lists, and their items. Text in JSON contains such characters, too.
MOST_OPENED = 400_000
MOST_COMMAS = 1_500_000

# For each message: the fields that are messages, and which.
MESSAGES: dict[str, dict[int, str]] = {
    "request": {1: "resource spans"},
    "resource spans": {1: "resource", 2: "scope spans"},
    "resource": {1: "attribute", 3: "entity"},
    "scope spans": {1: "scope", 2: "span"},
    "scope": {3: "attribute"},
    "span": {9: "attribute", 11: "event", 13: "link", 15: "status"},
    "event": {3: "attribute"},
    "link": {4: "attribute"},
    "attribute": {2: "value"},
    "value": {5: "values", 6: "attributes"},
    "values": {1: "value"},
    "attributes": {1: "attribute"},
    "entity": {},
    "status": {},
}


class TooManyError(Exception):
    """The request has too many parts."""


def check_json(body: bytes) -> None:
    """Count opening brackets and commas.

    Raises:
        TooManyError: there are too many.
    """
    if body.count(b"{") + body.count(b"[") > MOST_OPENED or body.count(b",") > MOST_COMMAS:
        raise TooManyError(f"more than {MOST_OPENED} objects and lists at once: send fewer spans at a time")


def check_protobuf(body: bytes) -> None:
    """Count fields and spans. MLflow itself refuses what is not protobuf.

    Raises:
        TooManyError: there are too many.
    """
    fields = spans = 0
    level = [(0, len(body), "request")]
    while level:
        place, end, kind = level.pop()
        messages = MESSAGES[kind]
        while place < end:
            fields += 1
            if fields > MOST_FIELDS or spans > MOST_SPANS:
                raise TooManyError(
                    f"more than {MOST_SPANS} spans, or {MOST_FIELDS} fields, at once: send fewer at a time"
                )
            tag, place = _number(body, place)
            wire = tag & 7
            if wire == 2:
                length, place = _number(body, place)
                inner = messages.get(tag >> 3)
                if inner is not None:
                    spans += inner == "span"
                    level.append((place, min(place + length, end), inner))
                place += length
            elif wire == 0:
                _, place = _number(body, place)
            elif wire in (1, 5):
                place += 8 if wire == 1 else 4
            else:
                return


def _number(body: bytes, place: int) -> tuple[int, int]:
    """A varint, and the position after it."""
    found = shift = 0
    # The last one may end with the body.
    for byte in body[place : place + 10]:
        place += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, place
        shift += 7
    return found, len(body)
