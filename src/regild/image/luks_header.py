"""The headers of LUKS2 and LUKS1 volumes: where the encrypted bytes lie and what opens them.

LUKS2 On-Disk Format Specification 1.1, sections 2 and 3; LUKS1 On-Disk Format Specification 1.2.3.
The header's checksum is verified, and the newer of its two copies is taken. What is not read is
named: other ciphers than AES in XTS mode, dm-integrity, a re-encryption that has not ended.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import msgspec

from regild.errors import Malformed, Truncated, UnsupportedFormat
from regild.image.disk import Disk

MAGIC = b"LUKS\xba\xbe"
SECOND_MAGIC = b"SKUL\xba\xbe"
_BINARY = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
BINARY_BYTES = 4096
_CHECK_AT = 448
HEADER_SIZES = tuple(1 << bit for bit in range(14, 23))
"""What a header and its JSON area may take together: 16 KiB to 4 MiB (section 2.1)."""

_PHDR = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT = struct.Struct(">II32sII")
_SLOT_ACTIVE = 0x00AC71F3
_DIGEST_BYTES = 20

CIPHERS = {"aes-xts-plain64": 64, "aes-xts-plain": 32}
"""The ciphers that are read, and the bits of a sector's number that go into its tweak."""
HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")
KEY_BYTES = (32, 64)
"""AES-128 and AES-256: XTS takes two keys."""
SECTOR_BYTES = (512, 1024, 2048, 4096)
MAX_STRIPES = 8192
MAX_SLOTS = 32


@dataclass(frozen=True, slots=True)
class Kdf:
    """How a passphrase becomes a key: `pbkdf2` with a hash, or Argon2; `memory_kib` and `lanes`
    are Argon2's."""

    type: str
    salt: bytes
    iterations: int
    hash: str = ""
    memory_kib: int = 0
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that keeps the volume's key, split into `stripes` and encrypted with a passphrase."""

    key_bytes: int
    """Of the volume's key."""
    kdf: Kdf
    at: int
    cipher: str
    area_key_bytes: int
    stripes: int
    split_hash: str


@dataclass(frozen=True, slots=True)
class Check:
    """What a right volume key gives."""

    kdf: Kdf
    digest: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """All that is needed to open a volume; places and sizes are in bytes of the volume."""

    slots: tuple[Slot, ...]
    """In order of trial."""
    check: Check
    key_bytes: int
    cipher: str
    begin: int
    bytes: int
    sector: int
    tweak: int
    """The number of the first sector, in units of 512 bytes."""


def read_header(disk: Disk, begin: int, size: int, where: str) -> Header:
    """Read the LUKS header of the volume at `begin` that takes `size` bytes.

    Raises: Malformed, Truncated, UnsupportedFormat.
    """
    head = disk.read(begin, min(BINARY_BYTES, size))
    if len(head) < BINARY_BYTES or not head.startswith(MAGIC):
        raise Malformed(where=where, why="its LUKS header is cut off")
    version = int.from_bytes(head[6:8], "big")
    if version == 1:
        header = _read_first(head, size)
    elif version == 2:
        header = _header_of(_metadata(disk, begin, size, where), size, where)
    else:
        raise UnsupportedFormat(where=where, why=f"LUKS version {version}")
    _check_header(header, size, where)
    return header


def _check_header(header: Header, size: int, where: str) -> None:
    """Refuse what cannot be read, and what lies outside of the volume."""
    for cipher in (header.cipher, *(slot.cipher for slot in header.slots)):
        if cipher not in CIPHERS:
            raise UnsupportedFormat(where=where, why=f"it is encrypted with {cipher[:40]!r}")
    for name in (header.check.kdf.hash, *(slot.split_hash for slot in header.slots)):
        if name not in HASHES:
            raise UnsupportedFormat(where=where, why=f"a LUKS header with the hash {name[:40]!r}")
    if header.key_bytes not in KEY_BYTES or header.sector not in SECTOR_BYTES:
        why = f"keys of {header.key_bytes} and sectors of {header.sector} bytes"
        raise UnsupportedFormat(where=where, why=why)
    if header.begin <= 0 or header.bytes <= 0 or header.begin + header.bytes > size:
        raise Malformed(where=where, why="its encrypted bytes lie outside of the volume")
    if len(header.slots) > MAX_SLOTS or not 0 <= header.tweak < 1 << 55:
        raise Malformed(where=where, why="its LUKS header is out of all bounds")
    for slot in header.slots:
        split = slot.stripes * slot.key_bytes
        fits = slot.at > 0 and 0 < slot.stripes <= MAX_STRIPES and slot.at + split <= size
        if not fits or slot.key_bytes != header.key_bytes or slot.area_key_bytes not in KEY_BYTES:
            raise Malformed(where=where, why="a keyslot of its LUKS header is damaged")


class _Area(msgspec.Struct, frozen=True):
    offset: str
    encryption: str
    key_size: int


class _Split(msgspec.Struct, frozen=True):
    stripes: int
    hash: str


class _KdfText(msgspec.Struct, frozen=True):
    type: str
    salt: bytes
    hash: str = ""
    iterations: int = 0
    time: int = 0
    memory: int = 0
    cpus: int = 1

    def read(self) -> Kdf:
        rounds = self.iterations if self.type == "pbkdf2" else self.time
        return Kdf(self.type, self.salt, rounds, self.hash, self.memory, self.cpus)


class _SlotText(msgspec.Struct, frozen=True):
    type: str
    key_size: int
    af: _Split
    area: _Area
    kdf: _KdfText
    priority: int = 1


class _Segment(msgspec.Struct, frozen=True):
    type: str
    offset: str
    size: str = ""
    iv_tweak: str = "0"
    encryption: str = ""
    sector_size: int = 0
    integrity: object = None


class _Digest(msgspec.Struct, frozen=True):
    type: str
    keyslots: tuple[str, ...]
    segments: tuple[str, ...]
    hash: str
    iterations: int
    salt: bytes
    digest: bytes


class _Needs(msgspec.Struct, frozen=True):
    mandatory: tuple[str, ...] = ()


class _Config(msgspec.Struct, frozen=True):
    requirements: _Needs = _Needs()


class _Metadata(msgspec.Struct, frozen=True):
    """The JSON area as far as every volume has it; keyslots and segments are read when the rest
    allows it."""

    keyslots: dict[str, msgspec.Raw]
    segments: dict[str, _Segment]
    digests: dict[str, _Digest]
    config: _Config


def _metadata(disk: Disk, begin: int, size: int, where: str) -> _Metadata:
    """The JSON of the newer of both headers whose checksum holds."""
    found = [_copy(disk, begin, size, 0, MAGIC)]
    first = found[0]
    places = (first[1],) if first is not None else HEADER_SIZES
    found += [_copy(disk, begin, size, at, SECOND_MAGIC) for at in places]
    whole = [one for one in found if one is not None]
    if not whole:
        raise Malformed(where=where, why="both copies of its LUKS2 header are damaged")
    text = max(whole, key=lambda one: one[0])[2]
    try:
        return msgspec.json.decode(text, type=_Metadata)
    except (ValueError, RecursionError) as error:
        raise Malformed(where=where, why=f"its LUKS2 header: {error}") from error


def _copy(
    disk: Disk, begin: int, size: int, at: int, magic: bytes
) -> tuple[int, int, bytes] | None:
    """Sequence number, length and JSON of the header at a place; None where none is whole."""
    if at + BINARY_BYTES > size:
        return None
    try:
        head = disk.read(begin + at, BINARY_BYTES)
        found, version, length, sequence, _label, kind, *_rest = _BINARY.unpack_from(head)
        own, check = _rest[-3], _rest[-1]
        if (found, version, own) != (magic, 2, at) or length not in HEADER_SIZES:
            return None
        if at + length > size:
            return None
        text = disk.read(begin + at + BINARY_BYTES, length - BINARY_BYTES)
    except Truncated:
        return None
    name = kind.rstrip(b"\0").decode("latin-1")
    if name not in HASHES:
        return None
    blank = head[:_CHECK_AT] + bytes(64) + head[_CHECK_AT + 64 :]
    digest = hashlib.new(name, blank + text, usedforsecurity=False).digest()
    return (sequence, length, text.partition(b"\0")[0]) if check.startswith(digest) else None


def _header_of(metadata: _Metadata, size: int, where: str) -> Header:
    """The header that a LUKS2 volume's JSON tells of."""
    needs = metadata.config.requirements.mandatory
    if needs:
        why = f"a LUKS2 volume that needs {', '.join(needs)[:80]!r}; finish what was begun on it"
        raise UnsupportedFormat(where=where, why=why)
    if len(metadata.segments) != 1 or len(metadata.keyslots) > MAX_SLOTS:
        why = f"a LUKS2 volume of {len(metadata.segments)} segments"
        raise UnsupportedFormat(where=where, why=why)
    ((number, segment),) = metadata.segments.items()
    if segment.type != "crypt" or segment.integrity is not None:
        what = "dm-integrity" if segment.integrity is not None else f"a {segment.type[:40]} segment"
        raise UnsupportedFormat(where=where, why=f"a LUKS2 volume with {what}")
    digests = [one for one in metadata.digests.values() if number in one.segments]
    if len(digests) != 1 or digests[0].type != "pbkdf2":
        raise Malformed(where=where, why="no one digest of its LUKS2 header is for its bytes")
    digest = digests[0]
    slots = _slots(metadata, digest, where)
    begin = _count(segment.offset, where)
    length = size - begin if segment.size == "dynamic" else _count(segment.size, where)
    kdf = Kdf("pbkdf2", digest.salt, digest.iterations, digest.hash)
    return Header(
        slots=tuple(slots),
        check=Check(kdf, digest.digest),
        key_bytes=slots[0].key_bytes if slots else 64,
        cipher=segment.encryption,
        begin=begin,
        bytes=length // segment.sector_size * segment.sector_size if segment.sector_size else 0,
        sector=segment.sector_size,
        tweak=_count(segment.iv_tweak, where),
    )


def _slots(metadata: _Metadata, digest: _Digest, where: str) -> list[Slot]:
    """The keyslots that a digest is for; preferred ones first, those to be ignored last."""
    found: list[tuple[int, Slot]] = []
    for number in digest.keyslots:
        raw = metadata.keyslots.get(number)
        if raw is None:
            raise Malformed(where=where, why="its LUKS2 header lacks a keyslot that it names")
        try:
            one = msgspec.json.decode(raw, type=_SlotText)
        except (ValueError, RecursionError) as error:
            raise Malformed(where=where, why=f"a keyslot of its header: {error}") from error
        slot = Slot(
            key_bytes=one.key_size,
            kdf=one.kdf.read(),
            at=_count(one.area.offset, where),
            cipher=one.area.encryption,
            area_key_bytes=one.area.key_size,
            stripes=one.af.stripes,
            split_hash=one.af.hash,
        )
        found.append((-one.priority, slot))
    return [slot for _priority, slot in sorted(found, key=lambda one: one[0])]


def _count(text: str, where: str) -> int:
    """A number that the JSON keeps as text, because it may take 64 bits."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Malformed(where=where, why=f"its LUKS2 header says {text[:40]!r} for a number")
    return int(text)


def _read_first(head: bytes, size: int) -> Header:
    """A LUKS1 header, whose keyslots stand behind it in the same sector."""
    (_magic, _version, *names, payload, key_bytes, digest, salt, rounds, _uuid) = _PHDR.unpack_from(
        head
    )
    cipher, mode, kind = (name.rstrip(b"\0").decode("latin-1") for name in names)
    whole = f"{cipher}-{mode}"
    slots = []
    for index in range(8):
        active, count, own_salt, sector, stripes = _SLOT.unpack_from(head, 208 + 48 * index)
        if active == _SLOT_ACTIVE:
            kdf = Kdf("pbkdf2", own_salt, count, kind)
            slots.append(Slot(key_bytes, kdf, sector * 512, whole, key_bytes, stripes, kind))
    begin = payload * 512
    return Header(
        slots=tuple(slots),
        check=Check(Kdf("pbkdf2", salt, rounds, kind), digest),
        key_bytes=key_bytes,
        cipher=whole,
        begin=begin,
        bytes=(size - begin) // 512 * 512,
        sector=512,
        tweak=0,
    )
