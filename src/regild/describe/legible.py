r"""Names of a guest are bytes, and a Content is text: what is no UTF-8 is told by escapes.

Inside of a tree such bytes are surrogates (PEP 383), by which a file is found again; in JSON and
XML they have no place. What Latin-1 has for an accented e is told as \xe9.
"""

from __future__ import annotations

from typing import Any

import msgspec

from regild.model.content import Content


def legible(content: Content) -> Content:
    """The same content, with the bytes that are no UTF-8 told by escapes."""
    try:
        msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.convert(_told(msgspec.to_builtins(content)), Content)
    return content


def _told(value: Any) -> Any:
    """A value of built-in types with every text told."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {_told(key): _told(one) for key, one in value.items()}
    return [_told(one) for one in value] if isinstance(value, list | tuple) else value
