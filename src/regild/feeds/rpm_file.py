"""Package files of rpm, believed by their own signature (RPM documentation, "RPM V4 package
format"; rpmkeys(8)).

A signature over the header alone counts only where the header holds the digest of the payload:
else anything could stand behind it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

from regild.errors import BadSignature, Malformed, TooLarge, Truncated
from regild.feeds.keys import Trust
from regild.feeds.signature import Signed, verify_detached
from regild.host.files import translated
from regild.model.rpm_files import RpmPackage
from regild.model.rpm_header import HEADER_LIMIT, TAGS_LIMIT, Header, Tags

LEAD_BYTES = 96
LEAD_MAGIC = b"\xed\xab\xee\xdb"
HEADER_MAGIC = b"\x8e\xad\xe8\x01"
SIGNATURE_LIMIT = 64 << 20
PACKAGE_LIMIT = 1 << 30
"""Bytes of a package whose signature is over all of it, which rpm before 4.0 made alone."""

_HEADER_SIGNATURES = (268, 267)
"""RSAHEADER and DSAHEADER: over the header alone."""
_OPENPGP = 278
"""Signatures over the header in base64 (since rpm 6)."""
_WHOLE_SIGNATURES = (1002, 1005)
"""PGP and GPG: over the header and what stands behind it."""
_PAYLOAD_DIGEST, _PAYLOAD_ALGORITHM = 5092, 5093
_ALGORITHMS = {8: "sha256", 9: "sha384", 10: "sha512"}
"""OpenPGP's numbers of hashes (RFC 9580, 9.5); weaker ones are not believed."""


class PackageFile(NamedTuple):
    """The parts of a package file, read up to its payload."""

    signatures: Tags
    header: Tags
    signed: bytes
    """The bytes that a signature over the header is made of."""
    payload_at: int


def check_package(path: Path, trust: Trust, now: datetime, where: str) -> tuple[Header, Signed]:
    """Believe a package file by its own signature: who it is, and who signed it.

    Raises: BadSignature, UnknownKey, Malformed, Truncated, TooLarge.
    """
    with translated(path), path.open("rb") as file:
        package = read_package(file, where)
        header = package.header.identity
        signatures = list(_signatures(package))
        if signatures:
            signed = _first_good(package.signed, signatures, trust, now, where)
            _check_payload(file, package, where)
            return header, signed
        whole = [found for tag in _WHOLE_SIGNATURES if (found := package.signatures.bytes(tag))]
        if not whole:
            raise BadSignature(where=where, why="it is not signed")
        file.seek(package.payload_at)
        payload = file.read(PACKAGE_LIMIT + 1)
        if len(payload) > PACKAGE_LIMIT:
            raise TooLarge(where=where, why="it is too large for an old signature over all of it")
        return header, _first_good(package.signed + payload, whole, trust, now, where)


def open_package(path: Path) -> RpmPackage:
    """A package by its header; whether it can be believed is not asked.

    Raises: Malformed, Truncated, TooLarge.
    """
    with translated(path), path.open("rb") as file:
        return RpmPackage(read_package(file, path.name).header, path.name)


def read_package(file: IO[bytes], where: str) -> PackageFile:
    """Read a package file up to its payload.

    Raises: Malformed, Truncated, TooLarge.
    """
    if _exactly(file, LEAD_BYTES, where)[:4] != LEAD_MAGIC:
        raise Malformed(where=where, why="it is no package of rpm")
    signatures = _header(file, SIGNATURE_LIMIT, where)
    _exactly(file, -len(signatures) % 8, where)
    signed = _header(file, HEADER_LIMIT, where)
    return PackageFile(
        Tags(signatures[8:], f"{where}, signatures"), Tags(signed[8:], where), signed, file.tell()
    )


def _header(file: IO[bytes], limit: int, where: str) -> bytes:
    start = _exactly(file, 16, where)
    entries, stored = struct.unpack_from(">II", start, 8)
    if start[:4] != HEADER_MAGIC:
        raise Malformed(where=where, why="one of its headers does not begin as one")
    if entries > TAGS_LIMIT or stored > limit:
        raise TooLarge(where=where, why="one of its headers states an impossible size")
    return start + _exactly(file, 16 * entries + stored, where)


def _exactly(file: IO[bytes], size: int, where: str) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise Truncated(where=where, why="it ends within its headers")
    return found


def _signatures(package: PackageFile) -> Iterator[bytes]:
    for tag in _HEADER_SIGNATURES:
        if found := package.signatures.bytes(tag):
            yield found
    for text in package.signatures.texts(_OPENPGP)[:20]:
        try:
            yield base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            yield b""  # it counts as a signature that is damaged


def _first_good(
    content: bytes, signatures: list[bytes], trust: Trust, now: datetime, where: str
) -> Signed:
    """The first signature that counts.

    Raises: what the last one that does not count raised.
    """
    *others, last = signatures
    for signature in others:
        try:
            return verify_detached(content, signature, trust, now, where)
        except BadSignature:
            continue
    return verify_detached(content, last, trust, now, where)


def _check_payload(file: IO[bytes], package: PackageFile, where: str) -> None:
    """Hold what stands behind the header against the digest in it.

    Raises: BadSignature.
    """
    promised = package.header.texts(_PAYLOAD_DIGEST)
    algorithm = _ALGORITHMS.get((*package.header.numbers(_PAYLOAD_ALGORITHM), 8)[0])
    if not promised or algorithm is None:
        why = "its signature is over its header alone, which holds no digest of the payload"
        raise BadSignature(where=where, why=why)
    file.seek(package.payload_at)
    found = hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]  # any file reads
    if found != promised[0].lower():
        raise BadSignature(where=where, why="its payload is not what its signature stands for")
