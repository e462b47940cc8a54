"""The boot loader that a booted guest wrote to its drive: taken over from where only loaders lie.

What is taken over block by block is on no record, so it comes from nowhere but the places that the
caller names. What was changed in others of them is refused, and so is a loader that reads its own
blocks out of a filesystem: the record puts that filesystem's files elsewhere, and the next start
would read whatever lies there now.
Source: boot.img and diskboot.img of GRUB 2.06 (include/grub/i386/pc/boot.h); first.S of LILO 24.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from regild.change.loader_places import Place
from regild.change.tree import Part
from regild.errors import RecordRefused
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.partitions import CODE_BYTES
from regild.image.spans import Span, joined, outside

LOADER: Final = "the boot loader"
SECTOR: Final = 512
GRUB: Final = b"GRUB \0Geom\0Hard Disk\0Read\0 Error"
"""What boot.img has to say when it fails."""
POINTER_AT: Final = 0x5C
"""Where boot.img says in which sector core.img begins (GRUB_BOOT_MACHINE_KERNEL_SECTOR)."""
LIST: Final = struct.Struct("<QHH")
"""First sector, sectors, segment: one list of blocks of core.img; the first one stands at the end
of its first sector, further ones in front of it, and one of no sectors ends them."""
LISTS_MAX: Final = 32
LILO_AT, LILO = 6, b"LILO"
"""Where and how LILO's first sector names itself."""
BOOT_BLOCK: Final = 1024
"""What ext leaves to a boot loader in front of its superblock."""


def take_loader(
    overlay: Overlay, base: Disk, left: Overlay, places: Iterable[Place], parts: Iterable[Part]
) -> None:
    """Take over as they stand the blocks that a booted guest changed where a loader lies that is
    to be taken.

    Raises: RecordRefused for what it changed elsewhere in these places, or in front of a
    filesystem of the record.
    """
    places = tuple(places)
    _check_boot_blocks(base, left, parts)
    for place in places:
        if not place.taken and any(_changed(left, base, place.spans)):
            raise RecordRefused(where=place.where, why=place.why)
    for offset, content in _changed(left, base, taken_of(places)):
        overlay.write(offset, content)


def taken_of(places: Iterable[Place]) -> tuple[Span, ...]:
    """What is taken over of them."""
    return tuple(joined(sorted(span for one in places if one.taken for span in one.spans)))


def check_loader(overlay: Overlay, base: Disk, taken: Iterable[Span]) -> None:
    """Refuse a changed disk whose first sector leads to blocks of a filesystem that are not what
    they were; what was `taken` is the loader's own.

    Raises: RecordRefused.
    """
    boot = overlay.read(0, SECTOR)
    is_new = boot[:CODE_BYTES] != base.read(0, CODE_BYTES)
    if is_new and boot[LILO_AT:].startswith(LILO):
        why = "LILO reads its map and kernels by their blocks, and the files lie elsewhere then"
        raise RecordRefused(where=LOADER, why=why)
    if GRUB not in boot:
        return
    core = tuple(_core_of(overlay, boot))
    strays = tuple(outside(joined(sorted(core)), taken))
    if strays and (is_new or core != tuple(_core_of(base, boot))):
        why = "GRUB was written as blocks of a filesystem, whose files lie elsewhere then;"
        why += " its drive has no BIOS boot partition, nor room before the first one"
        raise RecordRefused(where=LOADER, why=why)
    if any(_changed(overlay, base, strays)):
        why = (
            "the image's GRUB is read by the blocks in which its file lay, and these are no longer"
        )
        why += " its own: install GRUB where it has room of its own, and update then"
        raise RecordRefused(where=LOADER, why=why)


def _changed(new: Overlay, base: Disk, spans: Iterable[Span]) -> Iterator[tuple[int, bytes]]:
    """What is not as it was within spans: (offset, new content), by grains."""
    spans = tuple(spans)
    for number in new.changed():
        begin = number * GRAIN_BYTES
        for offset, length in spans:
            start, end = max(begin, offset), min(begin + GRAIN_BYTES, offset + length, new.size)
            if start < end and (content := new.read(start, end - start)) != base.read(
                start, end - start
            ):
                yield start, content


def _check_boot_blocks(base: Disk, left: Overlay, parts: Iterable[Part]) -> None:
    """Refuse a loader that was written into a partition, in front of its filesystem."""
    for part in parts:
        at = part.on_disk[0][0] if part.by_library else None
        if at is not None and base.read(at, BOOT_BLOCK) != left.read(at, BOOT_BLOCK):
            why = "a boot loader was written in front of its filesystem, from where none is taken"
            raise RecordRefused(where=part.mount, why=why)


def _core_of(disk: Disk, boot: bytes) -> Iterator[Span]:
    """Where core.img lies, as boot.img and its own first sector say."""
    (sector,) = struct.unpack_from("<Q", boot, POINTER_AT)
    first = (sector * SECTOR, SECTOR)
    yield first
    if sum(first) > disk.size:
        return
    lists = disk.read(*first)
    for number in range(1, LISTS_MAX + 1):
        begin, count, _segment = LIST.unpack_from(lists, SECTOR - number * LIST.size)
        if not count:
            return
        yield begin * SECTOR, count * SECTOR
