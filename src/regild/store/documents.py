"""JSON values of the catalogue, each kept once under its digest: contents, plans, receipts."""

from __future__ import annotations

import sys
from typing import TypeVar

from sqlalchemy import insert, select

from regild.errors import DigestMismatch, Malformed, NotListed
from regild.model.content import Value
from regild.model.digest import Digest, sha256_of
from regild.model.json import from_json, to_json
from regild.store.catalogue import Reading, Writing
from regild.store.schema import documents

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T", bound=Value)

LIMIT_BYTES = 256 << 20
"""A document that unpacks to more is damage: the largest content measured is under 4 MiB."""


def keep_document(change: Writing, kind: str, value: Value) -> tuple[int, Digest, bool]:
    """Keep a value; its row, its digest, and whether it is new to the catalogue."""
    content = to_json(value, indent=0).encode()
    digest = sha256_of(content)
    if (found := _row_of(change, digest)) is not None:
        return found, digest, False
    row = {"digest": digest, "kind": kind, "packed": zstd.compress(content)}
    added = insert(documents).values(row).returning(documents.c.id)
    return change.connection.execute(added).scalar_one(), digest, True


def read_document(view: Reading, digest: Digest, kind: type[T]) -> T:
    """A value by its digest.

    Raises: NotListed, DigestMismatch, Malformed.
    """
    wanted = select(documents.c.packed).where(documents.c.digest == digest)
    packed = view.connection.execute(wanted).scalar()
    if packed is None:
        raise NotListed(where=f"a document {digest}", why="nothing is kept under this digest")
    content = _unpacked(bytes(packed), f"document {digest}")
    if sha256_of(content) != digest:
        raise DigestMismatch(where=f"document {digest}", why="its bytes have another digest")
    return from_json(kind, content, f"document {digest}")


def _unpacked(packed: bytes, where: str) -> bytes:
    try:
        reader = zstd.ZstdDecompressor()
        content = reader.decompress(packed, max_length=LIMIT_BYTES)
    except zstd.ZstdError as error:
        raise Malformed(where=where, why=str(error)) from error
    if not reader.eof:
        raise Malformed(where=where, why="it does not end where it should")
    return content


def _row_of(view: Reading, digest: Digest) -> int | None:
    wanted = select(documents.c.id).where(documents.c.digest == digest)
    return view.connection.execute(wanted).scalar()
