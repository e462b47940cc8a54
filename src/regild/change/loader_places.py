"""Where a guest can write to its disk that no record holds: what machines are started from, and the
filesystems that nobody reads back.

A booted guest's boot loader is taken over from the first; whatever else was changed there is
refused, for the image would go without it and nobody would know.
Source: UEFI Specification 2.10, 5.2 and table 5-7; the Boot Loader Specification; the GRUB manual,
3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from regild.change.tree import Part
from regild.image.disk import Disk
from regild.image.partitions import CODE_BYTES, read_gap, read_tables
from regild.image.spans import Places, Span, outside
from regild.image.volumes import Volume
from regild.model.content import Value

BIOS_TYPES: Final = frozenset(
    {"21686148-6449-6E6F-744E-656564454649", "9E1A2D38-C612-4316-AA26-8B49521E5A8B", "41"}
)
"""BIOS boot and PReP partitions, which hold the loader's code and nothing else."""
FIRMWARE_TYPES: Final = frozenset(
    {"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "BC13C2FF-59E6-4262-A352-B275FD6F7172", "EF"}
)
"""The EFI system partition, what extends it, and the former in an MBR."""
FIRMWARE_MOUNTS: Final = frozenset({"/boot", "/boot/efi", "/efi"})
"""Where a guest mounts them, whatever their type says."""

UNASKED: Final = "the booted guest wrote there, and no package that it changed is known to do that"
NAMING: Final = "the booted guest wrote there, where partitions are named too"
NOT_READ_BACK: Final = "the booted guest changed it, and what it changes on {} is not taken over"


class Place(Value, frozen=True):
    """A part of the disk beside the record's filesystems."""

    where: str
    spans: Places
    taken: bool = False
    """Whether it goes into the image as the guest leaves it."""
    why: str = UNASKED
    """Why what a guest changed there is refused, where it is not taken."""


def find_places(
    disk: Disk, volumes: Sequence[Volume], parts: Iterable[Part], is_written: bool
) -> tuple[Place, ...]:
    """The places of a disk with these volumes; `is_written` where the packages that are changed
    write a boot loader, which then is taken over.

    Raises: whatever the disk raises.
    """
    tables, parts = read_tables(disk), tuple(parts)
    recorded = {part.offset for part in parts if part.writable}
    mounts = {part.offset: part.mount for part in parts}
    found = [_code(volumes, is_written), *_gap(disk, volumes, is_written)]
    taken = set()
    for volume in volumes:
        if not volume.layer and volume.offset not in recorded and _starts(volume, mounts):
            taken.add(volume.offset)
            found += _apart(volume, tables, is_written)
    for part in parts:
        if not part.writable and part.offset not in taken:
            why = NOT_READ_BACK.format(part.filesystem)
            found.append(Place(part.mount, part.on_disk, why=why))
    return tuple(found)


def _code(volumes: Sequence[Volume], is_written: bool) -> Place:
    """The first sector's code; where there is no partition table, whatever lies there uses it."""
    return Place("the first sector", ((0, CODE_BYTES),), is_written and bool(_partitions(volumes)))


def _gap(disk: Disk, volumes: Sequence[Volume], is_written: bool) -> Iterator[Place]:
    """What lies between the table and the first partition; none where there is no table."""
    first = min((one.offset for one in _partitions(volumes)), default=0)
    spans = tuple(outside(read_gap(disk, first), [(0, CODE_BYTES)]))
    if spans:
        yield Place("the gap before the first partition", spans, is_written)


def _partitions(volumes: Iterable[Volume]) -> list[Volume]:
    """What the partition table names: neither the whole disk nor what lies inside of others."""
    return [one for one in volumes if one.number and not one.layer]


def _starts(volume: Volume, mounts: dict[int, str]) -> bool:
    """Whether machines are started from a partition: by what its table or the guest says of it."""
    if volume.partition_type in BIOS_TYPES | FIRMWARE_TYPES:
        return True
    return volume.filesystem == "vfat" and mounts.get(volume.offset) in FIRMWARE_MOUNTS


def _apart(volume: Volume, tables: Sequence[Span], is_written: bool) -> Iterator[Place]:
    """A partition without what a hostile table has in it of itself."""
    whole = [(volume.offset, volume.bytes)]
    own = tuple(outside(whole, tables))
    yield Place(volume.name, own, is_written)
    if named := tuple(outside(whole, own)):
        yield Place(volume.name, named, why=NAMING)
