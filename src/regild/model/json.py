"""JSON both ways for the values of this floor, and the JSON Schemas of the command line's
contract."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from regild.errors import Malformed

T = TypeVar("T")


def to_json(value: Any, indent: int = 2) -> str:
    """A value as JSON text for people and programs, keys in the order of their declaration."""
    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def from_json(kind: type[T], text: str | bytes, where: str = "JSON") -> T:
    """Read a value of the given type and check it against its declaration.

    Raises: Malformed when the text is not JSON or does not fit the type.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed(where=where, why=str(error)) from error


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a value's type."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
