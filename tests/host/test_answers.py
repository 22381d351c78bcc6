"""Answers are encoded in one pass, and are equal to MLflow's for any content."""

from __future__ import annotations

import json
from typing import Any

# On the host, with the release's own Python: many messages of every kind that MLflow knows, with random content,
# through MLflow's function and through ours. Prints how many differ, and how many ours encoded by itself.
COMPARE = """
import importlib, json, math, pkgutil, random
import mlflow.protos
from mlflow.utils.proto_json_utils import message_to_json
from mlflow_host.patches.speed.answers import Encoder

rng = random.Random(1)
left = []
def original(message, **named):
    left.append(message)
    return message_to_json(message, **named)
encode = Encoder(original)

def value(field, depth):
    kind = field.cpp_type
    if kind == field.CPPTYPE_MESSAGE:
        return fill(field.message_type._concrete_class(), depth + 1)
    if kind == field.CPPTYPE_STRING:
        text = rng.choice(["", "a", 'quote " and \\\\', "line\\nbreak", "\\u00e4\\u20ac\\U0001f600", "</script>"])
        return text.encode() if field.type == field.TYPE_BYTES else text
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return rng.choice([0.0, -0.0, 1.0, 1e300 if kind == field.CPPTYPE_DOUBLE else 1e30, 0.1, math.nan, math.inf, -math.inf])
    if kind == field.CPPTYPE_ENUM:
        return rng.choice(list(field.enum_type.values_by_number))
    if kind == field.CPPTYPE_BOOL:
        return rng.choice([True, False])
    if kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
        return rng.choice([0, 1, 2**53 + 1, 1790000000000, 2**63 - 1])
    return rng.choice([0, 1, 2**31 - 1])

def fill(message, depth=0):
    for field in message.DESCRIPTOR.fields:
        if depth > 3 or rng.random() < 0.2 or message.DESCRIPTOR.full_name.startswith("google."):
            continue
        here = getattr(message, field.name)
        if field.type == field.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
            key, item = (field.message_type.fields_by_name[name] for name in ("key", "value"))
            if item.cpp_type == item.CPPTYPE_MESSAGE:
                here[value(key, depth)].CopyFrom(value(item, depth))
            else:
                here[value(key, depth)] = value(item, depth)
        elif field.is_repeated:
            here.extend(value(field, depth) for _ in range(rng.randrange(4)))
        elif field.cpp_type == field.CPPTYPE_MESSAGE:
            here.CopyFrom(value(field, depth))
        else:
            setattr(message, field.name, value(field, depth))
    return message

def kinds(descriptor):
    yield descriptor
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            yield from kinds(nested)

seen, differ = set(), []
for module in pkgutil.iter_modules(mlflow.protos.__path__):
    if module.name.endswith("_pb2"):
        found = importlib.import_module(f"mlflow.protos.{module.name}").DESCRIPTOR
        for top in found.message_types_by_name.values():
            seen.update(kinds(top))
total = 0
for descriptor in sorted(seen, key=lambda descriptor: descriptor.full_name):
    for _ in range(20):
        message = fill(descriptor._concrete_class())
        total += 1
        if encode(message) != message_to_json(message, pretty=False):
            differ.append(descriptor.full_name)
print(json.dumps({"messages": len(seen), "answers": total, "left": len(left), "differ": sorted(set(differ))}))
"""


def test_answers_equal_those_of_mlflow(server: Any, host: Any) -> None:
    """To the byte, for every kind of message of the release; few need MLflow's own encoder."""
    python = f"{server['mlflow_root_path']}/current/bin/python"
    path = host.check_output(f"grep ^PYTHONPATH= {server['mlflow_config_path']}/mlflow.env")
    found = json.loads(host.check_output(f"{path} {python} -W ignore -c %s", COMPARE).splitlines()[-1])
    assert found["differ"] == []
    assert found["messages"] > 300
    assert found["left"] < found["answers"] / 4
