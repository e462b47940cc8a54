"""The manifest: one digest line for each file of the package (DSP0243, 6.3; rules R5, W4).

Reads what the field writes; writes exactly `SHA256(name)= hex`, because consumers refuse other
spacing and OpenSSL's newer names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from regild.errors import Ambiguous, Malformed, TooLarge
from regild.model.appliance import ManifestEntry
from regild.model.digest import Digest, hex_of
from regild.model.progress import Progress
from regild.ovf.member import Member

MAX_BYTES: Final = 4 << 20
MAX_ENTRIES: Final = 20_000
CHUNK_BYTES: Final = 1 << 20

ALGORITHMS: Final = {"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
"""Hash functions of manifests and the number of digits of each."""

_LINE = re.compile(r"(SHA1|SHA2?-?256|SHA2?-?384|SHA2?-?512)\s*\((.*)\)\s*=\s*([0-9A-Fa-f]+)\s*\Z")


def read_manifest(content: bytes, where: str = "the .mf") -> tuple[ManifestEntry, ...]:
    """Read the lines of a .mf file; blank lines and either line end are fine.

    Raises: Malformed, TooLarge, Ambiguous when a file stands there with two digests.
    """
    if len(content) > MAX_BYTES:
        raise TooLarge(where=where, why=f"{len(content)} bytes")
    try:
        lines = [line.strip() for line in content.decode().split("\n")]
    except UnicodeDecodeError as error:
        raise Malformed(where=where, why="it is not UTF-8 text") from error
    entries = [_read_line(line, where) for line in lines if line]
    if len(entries) > MAX_ENTRIES:
        raise TooLarge(where=where, why=f"{len(entries)} lines")
    seen: dict[str, Digest] = {}
    for entry in entries:
        if seen.setdefault(entry.name, entry.digest) != entry.digest:
            raise Ambiguous(where=where, why=f"{entry.name[:80]!r} has two digests")
    return tuple(entries)


def _read_line(line: str, where: str) -> ManifestEntry:
    match = _LINE.match(line)
    if match is None:
        raise Malformed(where=where, why=f"{line[:80]!r} is no line of a manifest")
    algorithm = "sha1" if match[1] == "SHA1" else f"sha{match[1][-3:]}"
    if len(match[3]) != ALGORITHMS[algorithm] or not match[2]:
        raise Malformed(where=where, why=f"{line[:80]!r} has no whole digest")
    return ManifestEntry(name=match[2], digest=Digest(f"{algorithm}:{match[3].lower()}"))


def write_manifest(entries: Iterable[ManifestEntry]) -> bytes:
    """The bytes of a .mf file with the given lines in their order.

    Raises: Malformed for a name or digest that the format cannot hold.
    """
    return b"".join(_write_line(entry) for entry in entries)


def _write_line(entry: ManifestEntry) -> bytes:
    algorithm = entry.digest.partition(":")[0]
    if algorithm not in ALGORITHMS or re.search(r"[\r\n]", entry.name):
        raise Malformed(where=entry.name[:80], why="it cannot stand in a manifest")
    return f"{algorithm.upper()}({entry.name})= {hex_of(entry.digest)}\n".encode()


def digest_member(member: Member, like: Digest, progress: Progress) -> Digest:
    """The digest of a member's bytes, by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    state = hashlib.new(algorithm, usedforsecurity=False)
    for chunk in member.chunks(CHUNK_BYTES):
        state.update(chunk)
        progress.advance(len(chunk))
    return Digest(f"{algorithm}:{state.hexdigest()}")
