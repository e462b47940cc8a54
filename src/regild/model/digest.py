"""Digests and the canonical bytes that they are taken over."""

from __future__ import annotations

import hashlib
from typing import Any, NewType

import msgspec

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits, or another algorithm named the same way."""

_CANONICAL = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The JSON bytes of a value with sorted keys and no white space: equal values give equal
    bytes."""
    return _CANONICAL.encode(value)


def sha256_of(content: bytes | memoryview) -> Digest:
    """The SHA-256 digest of some bytes."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def algorithm_of(digest: Digest) -> str:
    """The name of a digest's algorithm."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """The hexadecimal digits of a digest, without the algorithm's name."""
    return digest.partition(":")[2]
