"""The public keys that the guest verifies its sources with (sources.list(5), Signed-By;
apt-secure(8)).

Only certificates leave the guest: a file that a source names and that holds anything else, a
private key or a password file, is reported and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from regild.describe.apt_parts import part_names
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.model.content import Keyring, Source, Unknown

TRUSTED = "/etc/apt/trusted.gpg"
TRUSTED_FOLDER = "/etc/apt/trusted.gpg.d"

KEYRING_LIMIT = 4 << 20
TOTAL_LIMIT = 16 << 20
PATHS_LIMIT = 200

CERTIFICATE_TAGS = (0x98, 0x99, 0x9A, 0xC6)
"""First byte of a public key packet, old and new format (RFC 9580, 4.2, tag 6)."""

_BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = b"-----END PGP PUBLIC KEY BLOCK-----"
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{16,64}!?")


def read_keyrings(evidence: Evidence, known: Findings) -> Findings:
    """The planning state with the keyrings that the enabled sources are verified with."""
    if known.known_planning.type not in ("", "deb"):
        return Findings()
    unknowns: list[Unknown] = []
    keyrings: list[Keyring] = []
    room = TOTAL_LIMIT
    for path, named in sorted(_paths(evidence, known.sources, unknowns).items()):
        try:
            content = evidence.find_bytes(path, min(KEYRING_LIMIT, max(room, 0)))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        if not content:
            if named:
                unknowns.append(Unknown(where=path, why="a source is signed by it; it is missing"))
            continue
        keys = find_certificates(content)
        if keys is None:
            unknowns.append(Unknown(where=path, why="it holds no OpenPGP certificates"))
            continue
        room -= len(keys)
        keyrings.append(Keyring(path=path, keys=keys))
    planning = replace(known.known_planning, keyrings=tuple(keyrings))
    return Findings(planning=planning, unknowns=tuple(unknowns))


def _paths(
    evidence: Evidence, sources: tuple[Source, ...], unknowns: list[Unknown]
) -> dict[str, bool]:
    """The keyrings to read, and whether a source names them; the trusted ones only where a source
    relies on them."""
    enabled = [source for source in sources if source.enabled]
    named = {path for source in enabled for path in source.signed_by if path.startswith("/")}
    if len(named) > PATHS_LIMIT:
        why = f"the sources name more than {PATHS_LIMIT} keyrings"
        unknowns.append(Unknown(where=enabled[0].where, why=why))
        named = set(sorted(named)[:PATHS_LIMIT])
    paths = {}
    if any(_relies_on_trusted(source) for source in enabled):
        names = part_names(evidence, TRUSTED_FOLDER, (".gpg", ".asc"), unknowns)
        paths = dict.fromkeys((TRUSTED, *(f"{TRUSTED_FOLDER}/{name}" for name in names)), False)
    return {**paths, **dict.fromkeys(named, True)}


def _relies_on_trusted(source: Source) -> bool:
    return not source.signed_by or any(map(_FINGERPRINT.fullmatch, source.signed_by))


def find_certificates(content: bytes) -> bytes | None:
    """The certificates in a keyring file, armoured or binary; None where there are none."""
    if content[0] in CERTIFICATE_TAGS:
        return content
    return b"".join(_blocks(content)) or None


def _blocks(content: bytes) -> Iterator[bytes]:
    """Each armoured certificate block, from its first to its last line."""
    begin = content.find(_BEGIN)
    while begin >= 0:
        end = content.find(_END, begin)
        if end < 0:
            return
        yield content[begin : end + len(_END)] + b"\n"
        begin = content.find(_BEGIN, end)
