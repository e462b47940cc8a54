"""JSON both ways for the values of this floor, and the JSON Schemas of the command line's
contract."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from regild.errors import Malformed

T = TypeVar("T")

_HALF = re.compile(rb"\\ud[c-f][0-9a-f]{2}")
"""What may be half of a pair: msgspec refuses it, the standard library keeps it."""


def to_json(value: Any, indent: int = 2) -> str:
    r"""A value as JSON text for people and programs, keys in the order of their declaration.

    A file name of a guest may hold bytes that are not UTF-8 (surrogate escapes, PEP 383). They
    stand as `\udcXX` in the text, which RFC 8259 (8.2) allows and `from_json` takes back.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        plain, tight = msgspec.to_builtins(value), None if indent else (",", ":")
        return json.dumps(plain, indent=indent or None, separators=tight)
    return (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()


def from_json(kind: type[T], text: str | bytes, where: str = "JSON") -> T:
    """Read a value of the given type and check it against its declaration.

    Raises: Malformed when the text is not JSON or does not fit the type.
    """
    try:
        if _HALF.search(text if isinstance(text, bytes) else text.encode()):
            return msgspec.convert(json.loads(text), kind)
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise Malformed(where=where, why=str(error)) from error


def from_json_once(kind: type[T], text: str | bytes, where: str = "JSON") -> T:
    """Read what is evidence: as `from_json`, but a name stands once in each object.

    Of two members of one name most readers take the last, some the first (RFC 8259, 4): what one
    reader checks, another would not see.

    Raises: Malformed.
    """

    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object whose members have different names."""
        found = dict(members)
        if len(found) != len(members):
            names = [name for name, _ in members]
            twice = next(name for name in names if names.count(name) > 1)
            raise Malformed(where=where, why=f"{twice[:80]!r} stands more than once in an object")
        return found

    try:
        json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Malformed(where=where, why=str(error)) from error
    return from_json(kind, text, where)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a value's type."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
