"""LVM2 volume groups on one disk: linear and striped volumes, put together for reading.

lvmsystemid(7), lvm2 lib/format_text/layout.h (label, physical volume header, metadata area) and its
text format. The logical volumes are given places behind the disk's end, so that one `Disk` shows
all. Thin, mirrored, RAID, cached and snapshot volumes are named and not read.
"""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from regild.errors import Malformed, RegildError, TooLarge
from regild.image.disk import Disk
from regild.image.grains import MAX_DISK_BYTES, SECTOR_BYTES, check_range, read_by_grain
from regild.image.lvm_text import Section, read_text
from regild.image.partitions import printable
from regild.image.spans import Places
from regild.image.volumes import Volume

_MAGIC = b" LVM2 x[5A%r0N*>"
_FIRST_CRC = 0xF597A6CF
MAX_TEXT_BYTES = 4 << 20
MAX_TEXTS_BYTES = 16 << 20
"""Of all metadata on a disk, each text once; volumes of one group keep the same."""
MAX_AREAS = 8
MAX_VOLUMES = 256
MAX_SEGMENTS = 65536
MAX_STRIPES = 128
MAX_PLACES = 65536
"""4 GiB in stripes of 64 KiB; a linear volume has a few."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """`bytes` of a volume, dealt out in pieces of `stripe` bytes over places on the disk."""

    begin: int
    bytes: int
    places: tuple[int, ...]
    stripe: int


@dataclass(frozen=True, slots=True)
class Logical:
    """A logical volume: its place behind the disk, or why it cannot be read."""

    name: str
    """`group/volume`."""
    device: str
    """As it is called in /dev/mapper."""
    offset: int = 0
    bytes: int = 0
    why: str = ""
    places: Places = ()
    """Where its bytes lie on the disk; none where that takes too many pieces to tell."""


@dataclass(slots=True)
class Groups:
    """What the physical volumes of a disk told."""

    disk: Disk
    volumes: list[Logical] = field(default_factory=list)
    whys: dict[int, str] = field(default_factory=dict)
    """Why a physical volume could not be used, by its number."""


class ExtendedDisk:
    """A disk with its logical volumes behind its end."""

    def __init__(self, disk: Disk) -> None:
        self.format = disk.format
        self.size = -(-disk.size // SECTOR_BYTES) * SECTOR_BYTES
        self._disk = disk
        self._segments: list[tuple[int, _Segment]] = []

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""
        return self._disk.bytes_read

    def append(self, segments: Sequence[_Segment]) -> tuple[int, int]:
        """Put a logical volume behind all others; its place and its size."""
        begin = self.size
        for segment in segments:
            self._segments.append((self.size, segment))
            self.size += segment.bytes
        return begin, self.size - begin

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes of the disk, or of one logical volume.

        Raises: Truncated, Malformed.
        """
        check_range("the disk", self.size, offset, length)
        if offset + length <= self._disk.size:
            return self._disk.read(offset, length)
        parts = []
        near = bisect.bisect_right(self._segments, offset, key=lambda one: one[0])
        for place in range(max(0, near - 1), len(self._segments)):
            begin, segment = self._segments[place]
            if begin >= offset + length:
                break
            first = max(offset, begin)
            last = min(offset + length, begin + segment.bytes)
            if first < last:
                parts.append(self._from(segment, first - begin, last - first))
        content = b"".join(parts)
        if len(content) != length:
            raise Malformed(where="the disk", why="something reaches over a volume's end")
        return content

    def extents(self) -> Iterator[tuple[int, int]]:
        """The allocated parts of the disk, and every logical volume whole."""
        yield from self._disk.extents()
        yield from ((begin, segment.bytes) for begin, segment in self._segments)

    def _from(self, segment: _Segment, offset: int, length: int) -> bytes:
        def piece(number: int, start: int, count: int) -> bytes:
            row, column = divmod(number, len(segment.places))
            return self._disk.read(segment.places[column] + row * segment.stripe + start, count)

        return read_by_grain(offset, length, segment.stripe, piece)


def read_groups(disk: Disk, volumes: Sequence[Volume]) -> Groups:
    """Find the logical volumes that the physical volumes of a disk make up."""
    extended = ExtendedDisk(disk)
    groups = Groups(extended)
    places: dict[str, Volume] = {}
    texts: dict[str, tuple[int, str, Section]] = {}
    library = _Library()
    for volume in volumes:
        if volume.kind == "lvm":
            try:
                own, stated = _physical(disk, volume)
                for name, section in library.read(stated, volume.name):
                    key, number = section.text("id"), section.number("seqno")
                    if key not in texts or texts[key][0] < number:
                        texts[key] = number, name, section
                places[own] = volume
            except RegildError as error:
                groups.whys[volume.number] = str(error)
    named: set[str] = set()
    for _number, name, section in texts.values():
        named |= _read_group(groups, extended, places, name, section)
    for own, volume in places.items():
        if own not in named:
            groups.whys[volume.number] = "it is an LVM physical volume without its group"
    return groups


class _Library:
    """The texts of all physical volumes, each read once and all together within bounds."""

    def __init__(self) -> None:
        self._left = MAX_TEXTS_BYTES
        self._read: set[str] = set()

    def read(self, texts: Sequence[str], where: str) -> Iterator[tuple[str, Section]]:
        """The groups that some texts tell of, but those that were told before.

        Raises: Malformed, TooLarge.
        """
        for text in texts:
            if text not in self._read:
                self._left -= len(text)
                if self._left < 0:
                    raise TooLarge(where=where, why="all LVM metadata together are too large")
                self._read.add(text)
                yield from read_text(text, where)


def _physical(disk: Disk, volume: Volume) -> tuple[str, list[str]]:
    """The id of a physical volume and what its metadata areas hold."""
    head = disk.read(volume.offset, 4 * SECTOR_BYTES)
    at = next(at for at in range(0, len(head), SECTOR_BYTES) if head[at : at + 8] == b"LABELONE")
    start = int.from_bytes(head[at + 20 : at + 24], "little")
    label = head[at : at + SECTOR_BYTES]
    if label[24:32] != b"LVM2 001" or not 32 <= start <= 256:
        raise Malformed(where=volume.name, why="its LVM label is damaged")
    if _crc(label[20:]) != int.from_bytes(label[16:20], "little"):
        raise Malformed(where=volume.name, why="the sum of its LVM label is wrong")
    own = label[start : start + 32].decode("latin-1")
    areas = dict.fromkeys(offset for offset, _size in _pairs(label[start + 40 :], skipped=1))
    return own, [text for offset in areas if (text := _text(disk, volume, offset))]


def _pairs(content: bytes, skipped: int = 0) -> Iterator[tuple[int, int]]:
    """The first list of (offset, size) up to a zero, or the one behind `skipped` lists."""
    count = 0
    for at in range(0, len(content) - 15, 16):
        offset = int.from_bytes(content[at : at + 8], "little")
        size = int.from_bytes(content[at + 8 : at + 16], "little")
        if not offset and not size:
            if skipped == 0:
                return
            skipped -= 1
        elif skipped == 0:
            count += 1
            if count > MAX_AREAS:
                return
            yield offset, size


def _text(disk: Disk, volume: Volume, area: int) -> str:
    """The newest text of a metadata area, which is a ring; empty where there is none."""
    if area + SECTOR_BYTES > volume.bytes:
        raise Malformed(where=volume.name, why="its metadata lie behind its end")
    head = disk.read(volume.offset + area, SECTOR_BYTES)
    if head[4:20] != _MAGIC or _crc(head[4:]) != int.from_bytes(head[:4], "little"):
        raise Malformed(where=volume.name, why="the header of its metadata is damaged")
    size = int.from_bytes(head[32:40], "little")
    offset, length = (int.from_bytes(head[at : at + 8], "little") for at in (40, 48))
    crc, flags = (int.from_bytes(head[at : at + 4], "little") for at in (56, 60))
    if not offset or flags & 1:
        return ""
    if length > MAX_TEXT_BYTES:
        raise TooLarge(where=volume.name, why=f"its metadata take {length} bytes")
    if offset >= size or length > size - SECTOR_BYTES or area + size > volume.bytes:
        raise Malformed(where=volume.name, why="its metadata lie outside of their area")
    first = min(length, size - offset)
    content = disk.read(volume.offset + area + offset, first)
    content += disk.read(volume.offset + area + SECTOR_BYTES, length - first)
    if _crc(content) != crc:
        raise Malformed(where=volume.name, why="the sum of its metadata is wrong")
    return content.rstrip(b"\0").decode("utf-8", "replace")


def _crc(content: bytes) -> int:
    return zlib.crc32(content, _FIRST_CRC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _read_group(
    groups: Groups,
    extended: ExtendedDisk,
    places: Mapping[str, Volume],
    name: str,
    section: Section,
) -> set[str]:
    """Add the visible volumes of a group; the ids of the group's physical volumes."""
    where = f"LVM group {printable(name)}"
    physical: dict[str, tuple[Volume, int]] = {}
    ids = set()
    try:
        extent = section.number("extent_size") * SECTOR_BYTES
        if not 0 < extent <= 1 << 40:
            raise Malformed(where=where, why=f"extents of {extent} bytes")
        for key, one in section.section("physical_volumes").sections():
            own = one.text("id").replace("-", "")
            ids.add(own)
            if own in places:
                physical[key] = places[own], one.number("pe_start") * SECTOR_BYTES
        logical = section.section("logical_volumes", missing=True).sections()
    except RegildError as error:
        groups.volumes.append(Logical(printable(name), "", why=str(error)))
        return ids
    for key, one in logical:
        if "VISIBLE" not in one.texts("status"):
            continue
        if len(groups.volumes) >= MAX_VOLUMES:
            groups.volumes.append(Logical(printable(name), "", why="it has too many volumes"))
            break
        shown = printable(f"{name}/{key}")
        device = f"{name.replace('-', '--')}-{key.replace('-', '--')}"
        try:
            segments = list(_segments(one, physical, extent, shown))
            offset, length = extended.append(segments)
            found = Logical(shown, device, offset, length, places=_places(segments))
            groups.volumes.append(found)
        except RegildError as error:
            why = getattr(error, "why", str(error))
            groups.volumes.append(Logical(shown, device, why=why))
    return ids


def _segments(
    logical: Section, physical: Mapping[str, tuple[Volume, int]], extent: int, where: str
) -> Iterator[_Segment]:
    """The segments of a volume in their order, without gaps."""
    begin = 0
    found = [one for key, one in logical.sections() if key.startswith("segment")]
    if not 0 < len(found) <= MAX_SEGMENTS:
        raise Malformed(where=where, why=f"it has {len(found)} segments")
    for one in sorted(found, key=lambda one: one.number("start_extent")):
        kind = one.text("type")
        if kind not in ("striped", "linear"):
            raise Malformed(where=where, why=f"it is an LVM volume of type {kind[:40]!r}")
        length = one.number("extent_count") * extent
        stripes = one.items("stripes")
        count = len(stripes) // 2
        if one.number("start_extent") * extent != begin or not 0 < count <= MAX_STRIPES:
            raise Malformed(where=where, why="its segments do not fit together")
        stripe = one.number("stripe_size") * SECTOR_BYTES if count > 1 else length
        if (
            stripe <= 0
            or length <= 0
            or length % (stripe * count)
            or begin + length > MAX_DISK_BYTES
        ):
            raise Malformed(where=where, why="its stripes do not fit together")
        places = tuple(
            _place(physical, stripes[2 * index], stripes[2 * index + 1], extent, length // count)
            for index in range(count)
        )
        if 0 in places:
            raise Malformed(where=where, why="its physical volume is not on this disk")
        yield _Segment(begin, length, places, stripe)
        begin += length


def _places(segments: Sequence[_Segment]) -> Places:
    """Where the bytes of segments lie on the disk, neighbours as one."""
    found: list[tuple[int, int]] = []
    for segment in segments:
        if len(found) + segment.bytes // segment.stripe > MAX_PLACES:
            return ()
        for number in range(segment.bytes // segment.stripe):
            row, column = divmod(number, len(segment.places))
            at = segment.places[column] + row * segment.stripe
            if found and sum(found[-1]) == at:
                found[-1] = found[-1][0], found[-1][1] + segment.stripe
            else:
                found.append((at, segment.stripe))
    return tuple(found)


def _place(
    physical: Mapping[str, tuple[Volume, int]], name: object, number: object, extent: int, size: int
) -> int:
    """Where a stripe begins on the disk; 0 when its physical volume is not there."""
    if not isinstance(name, str) or not isinstance(number, int) or name not in physical:
        return 0
    volume, data = physical[name]
    begin = data + number * extent
    if number < 0 or begin + size > volume.bytes:
        raise Malformed(where=volume.name, why="a logical volume reaches over its physical one")
    return volume.offset + begin
