"""Answers as JSON without indentation, encoded in one pass.

MLflow indents its answers, which Python's encoder in C cannot do, and traverses
every message three times: once for the library's JSON, whose 64-bit integers are
strings, once to find those integers, and once to insert them. That was a third of
a search. Here a message is traversed once. Messages with other kinds of fields are
encoded by MLflow's own function.

Source of the rules: ProtoJSON (https://protobuf.dev/programming-guides/json/),
with MLflow's exception: 64-bit integers are numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from mlflow_host.core.known import SPEED, Patch

PATCH = Patch(
    name="answers",
    kind=SPEED,
    why="encodes answers in one pass",
    test="tests/host/test_answers.py",
    replaces=("mlflow.utils.proto_json_utils:message_to_json",),
    needs=("mlflow.server.handlers:message_to_json",),
    known={"3.17.2": "a9b66a85e21d0f114230f346c235bbc2e99873aa698d342cea1875bd5f63e165"},
)

Convert = Callable[[Any], Any]
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class NotPlainError(Exception):
    """A field that MLflow's own function encodes: bytes, maps, well-known types, extensions, 32-bit floats."""


class Encoder:
    """Turns the messages of one release into JSON.

    Args:
        original: MLflow's function, for all other messages.
    """

    def __init__(self, original: Callable[..., str]) -> None:
        self._original = original
        # For each field: its name, whether it is repeated, and the conversion of its values.
        self._fields: dict[str, tuple[str, bool, Convert | None]] = {}

    def __call__(self, message: Any, **named: Any) -> str:
        """The message as JSON; takes the parameters of MLflow's function."""
        if named.get("convert_int64_to_number", True):
            try:
                return json.dumps(self.plain(message), separators=(",", ":"))
            except NotPlainError:
                pass
        return self._original(message, **(named | {"pretty": False}))

    def plain(self, message: Any) -> dict[str, Any]:
        """The message as a dictionary.

        Raises:
            NotPlainError: it holds a field that MLflow's own function encodes.
        """
        found = {}
        for field, value in message.ListFields():
            known = self._fields.get(field.full_name)
            if known is None:
                known = self._fields[field.full_name] = field.name, field.is_repeated, self._convert(field)
            name, repeated, convert = known
            if convert is None:
                found[name] = list(value) if repeated else value
            else:
                found[name] = [convert(item) for item in value] if repeated else convert(value)
        return found

    def _convert(self, field: Any) -> Convert | None:
        """The conversion of a field's values; None if they are JSON already."""
        if field.is_extension or field.type in (field.TYPE_BYTES, field.TYPE_FLOAT, field.TYPE_GROUP):
            return _not_plain
        if field.type == field.TYPE_DOUBLE:
            return _number
        if field.type == field.TYPE_ENUM:
            names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
            return _not_plain if field.enum_type.full_name.startswith("google.") else _known(names)
        if field.type == field.TYPE_MESSAGE:
            special = field.message_type.full_name.startswith("google.") or field.message_type.GetOptions().map_entry
            return _not_plain if special else self.plain
        return None


def _not_plain(_: Any) -> Any:
    raise NotPlainError


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return _INFINITE.get(value, "NaN")


def _known(names: dict[int, str]) -> Convert:
    def name(number: int) -> str:
        if number not in names:
            raise NotPlainError
        return names[number]

    return name


def apply() -> None:
    """Replace the encoder of MLflow's handlers."""
    from mlflow.server import handlers

    handlers.message_to_json = Encoder(handlers.message_to_json)
