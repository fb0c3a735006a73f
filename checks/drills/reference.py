"""Which keys has `drill.toml`, and which fields a record? The reference, made from the types themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from checks.drills.definition import Definition
from checks.drills.record import DrillRecord

_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(
    (Definition, DrillRecord), ref_template="#/$defs/{name}"
)
#: JSON Schema (2020-12) of a drill's file and of a record.
SCHEMAS: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": dict(_COMPONENTS),
}


class Key(NamedTuple):
    """A key of drill.toml."""

    name: str
    type: str
    description: str
    example: str


def keys(name: str = "Definition", before: str = "") -> Iterator[Key]:
    """All keys, those of tables below them with a dot."""
    schema = _COMPONENTS[name]
    for key, about in schema["properties"].items():
        required = key in schema.get("required", ())
        known = {**_target(about), **about}
        text = known.get("description", "") if "description" in about else ""
        example = "; ".join(json.dumps(one, ensure_ascii=False) for one in known.get("examples", [])[:1])
        yield Key(before + key, _type(about) + ("" if required else ", optional"), text, example)
        inner = _reference(about)
        if inner and "properties" in _COMPONENTS[inner]:
            yield from keys(inner, f"{before}{key}.")


def _reference(about: dict[str, Any]) -> str:
    """The table or choice that a key holds; empty for a plain value."""
    options = [about, *about.get("anyOf", []), *about.get("allOf", []), about.get("items", {})]
    found = [
        option["$ref"].rpartition("/")[2]
        for option in options
        if isinstance(option, dict) and "$ref" in option
    ]
    return found[0] if found else ""


def _target(about: dict[str, Any]) -> dict[str, Any]:
    inner = _reference(about)
    return _COMPONENTS[inner] if inner else {}


def _type(about: dict[str, Any]) -> str:
    choice = _target(about).get("enum")
    if choice:
        return " | ".join(map(str, choice))
    if _reference(about):
        return "list of tables" if about.get("type") == "array" else "table"
    kinds = [option.get("type") for option in about.get("anyOf", [about]) if option.get("type") != "null"]
    return " or ".join(
        {"string": "text", "object": "table", "array": "list", "integer": "number"}.get(k, k) for k in kinds
    )
