"""OpenPGP certificates as the guest's keyrings hold them, one by one, so that a certificate that is
no longer acceptable does not spoil its neighbours (RFC 9580, 4.2 packets, 6 armour, 10.1)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from regild.errors import BadSignature
from regild.model.content import Keyring, Source, Value

if TYPE_CHECKING:
    from pysequoia import Cert

CERTIFICATES_LIMIT = 500
PUBLIC_KEY = 6
"""Packet tag (RFC 9580, 5.5.1.1)."""

ARMOUR_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_ARMOUR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
_FINGERPRINT = re.compile(r"([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})(!?)")


class Key(Value, frozen=True):
    """One certificate that the guest trusts."""

    certificate: Cert
    fingerprint: str
    """Of the primary key, lower-case hexadecimal."""
    ends: dict[str, datetime | None]
    """When the primary key and each subkey expires, by fingerprint."""

    def expired(self, fingerprint: str, now: datetime) -> datetime | None:
        """When one of its keys, or the whole certificate, has expired; None while it is good."""
        ends = (self.ends.get(self.fingerprint), self.ends.get(fingerprint))
        past = [end for end in ends if end is not None and end <= now]
        return min(past, default=None)


class Trust(Value, frozen=True):
    """The keys that may sign one source."""

    keys: tuple[Key, ...]
    only: tuple[str, ...] = ()
    """Fingerprints; with `!` of exactly one subkey. Empty: any of the keys."""
    site: tuple[str, ...] = ()
    """Fingerprints to which the site has narrowed what the image trusts; empty: all of it."""

    def admits(self, certificate: str, key: str) -> bool:
        """Whether a signature by a certificate's key counts."""
        named = {one.removesuffix("!") for one in self.only if not one.endswith("!")}
        exact = {one.removesuffix("!") for one in self.only if one.endswith("!")}
        if self.site and not {certificate, key} & {*self.site}:
            return False
        return not self.only or key in exact or bool({certificate, key} & named)


def trust_of(source: Source, keyrings: Sequence[Keyring], site: tuple[str, ...] = ()) -> Trust:
    """The keys that the guest accepts for a source (sources.list(5), Signed-By): the named
    keyrings, the embedded key, or all that the guest trusts, perhaps only some of them.

    `[trusted=yes]` is not followed.

    Raises: BadSignature when there is no usable key.
    """
    files = {ring.path: ring.keys for ring in keyrings}
    paths = [one for one in source.signed_by if one.startswith("/")]
    embedded = [one.encode() for one in source.signed_by if ARMOUR_BEGIN in one]
    only = [one.lower() for one in source.signed_by if _FINGERPRINT.fullmatch(one)]
    if len(paths) + len(embedded) + len(only) != len(source.signed_by):
        raise BadSignature(
            where=source.uri, why="its Signed-By is neither a file nor a full key id"
        )
    if paths or embedded:
        chosen = [*(files[path] for path in paths if path in files), *embedded]
    else:
        chosen = [ring.keys for ring in keyrings if _is_trusted_by_default(ring.path)]
    keys = {key.fingerprint: key for content in chosen for key in read_keys(content)}
    if not keys:
        named = f" in {', '.join(paths)}" if paths else ""
        raise BadSignature(where=source.uri, why=f"the image holds no usable key for it{named}")
    return Trust(tuple(keys.values()), tuple(only), site)


def _is_trusted_by_default(path: str) -> bool:
    """Whether apt trusts a keyring for every source that names none (apt-secure(8))."""
    return path == "/etc/apt/trusted.gpg" or path.startswith("/etc/apt/trusted.gpg.d/")


def read_keys(content: bytes) -> Iterator[Key]:
    """The usable certificates of a keyring, binary or armoured; those that OpenPGP's present rules
    reject, such as ones bound by SHA-1, are left out."""
    from pysequoia import Cert

    for count, chunk in enumerate(split_certificates(content)):
        if count >= CERTIFICATES_LIMIT:
            return
        # The library's errors have no class of their own.
        with suppress(Exception):
            certificate = Cert.from_bytes(chunk)
            if not certificate.is_revoked:
                ends = _ends(chunk, certificate.fingerprint, certificate.expiration)
                yield Key(certificate, certificate.fingerprint, ends)


def split_certificates(content: bytes) -> Iterator[bytes]:
    """The bytes of each certificate of a keyring; what is not whole ends it."""
    for block in _dearmoured(content):
        begin = None
        for tag, start, end in _packets(block):
            if tag == PUBLIC_KEY:
                if begin is not None:
                    yield block[begin:start]
                begin = start
            last = end
        if begin is not None:
            yield block[begin:last]


def _dearmoured(content: bytes) -> Iterable[bytes]:
    """The binary blocks of a keyring."""
    if not content.lstrip().startswith(b"-----"):
        return [content]
    blocks = []
    for match in _ARMOUR.finditer(content):
        lines = [line.strip() for line in match[1].split(b"\n")]
        # Headers such as Version: end with an empty line; the checksum begins with =.
        body = lines[lines.index(b"") + 1 :] if b"" in lines else lines
        text = b"".join(line for line in body if line and not line.startswith(b"="))
        with suppress(binascii.Error):
            blocks.append(base64.b64decode(text, validate=True))
    return blocks


def _packets(block: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of each packet; stops at what is not one."""
    at = 0
    while at < len(block):
        first = block[at]
        if not first & 0x80:
            return
        if first & 0x40:
            tag, sizes = first & 0x3F, _new_length(block, at + 1)
        else:
            tag, sizes = (first >> 2) & 0x0F, _old_length(block, at + 1, first & 3)
        if sizes is None or sum(sizes) > len(block):
            return
        yield tag, at, sum(sizes)
        at = sum(sizes)


def _new_length(block: bytes, at: int) -> tuple[int, int] | None:
    """Where a packet's body begins and how long it is (RFC 9580, 4.2.1)."""
    first = block[at] if at < len(block) else 255
    if first < 192:
        return at + 1, first
    if first < 224:
        second = block[at + 1] if at + 1 < len(block) else 0
        return at + 2, ((first - 192) << 8) + second + 192
    if first == 255 and at + 5 <= len(block):
        return at + 5, int.from_bytes(block[at + 1 : at + 5])
    return None


def _old_length(block: bytes, at: int, kind: int) -> tuple[int, int] | None:
    """The same for the old form of packets (RFC 9580, 4.2.2)."""
    if kind == 3:
        return None
    width = 1 << kind
    return at + width, int.from_bytes(block[at : at + width])


def _ends(chunk: bytes, primary: str, expires: datetime | None) -> dict[str, datetime | None]:
    """When each key of a certificate expires; a subkey as its newest binding says."""
    from pysequoia.packet import PacketPile, SignatureType, Tag

    ends: dict[str, datetime | None] = {primary: expires}
    subkey: Any = None
    newest: datetime | None = None
    for packet in PacketPile.from_bytes(chunk):
        if packet.tag in (Tag.PublicKey, Tag.PublicSubkey):
            subkey = packet if packet.tag == Tag.PublicSubkey else None
            newest = None
        elif subkey is None or packet.tag != Tag.Signature:
            continue
        elif packet.signature_type == SignatureType.SubkeyBinding:
            made = packet.signature_created
            if newest is None or made >= newest:
                newest = made
                life = packet.key_validity_period
                ends[subkey.fingerprint] = subkey.key_created + life if life else None
    return ends
