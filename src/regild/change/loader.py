"""The boot loader that a booted guest wrote to its drive: taken over from where only loaders lie.

What is taken over block by block is on no record, so it comes from nowhere but the areas that the
caller names. A loader that reads its own blocks out of a filesystem is refused: the record puts
that filesystem's files elsewhere, and the next start would read whatever lies there now.
Source: boot.img and diskboot.img of GRUB 2.06 (include/grub/i386/pc/boot.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from regild.change.tree import Part
from regild.errors import RecordRefused
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.spans import Span, joined, outside

SECTOR: Final = 512
GRUB: Final = b"GRUB \0Geom\0Hard Disk\0Read\0 Error"
"""What boot.img has to say when it fails."""
POINTER_AT: Final = 0x5C
"""Where boot.img says in which sector core.img begins (GRUB_BOOT_MACHINE_KERNEL_SECTOR)."""
LIST: Final = struct.Struct("<QHH")
"""First sector, sectors, segment: one list of blocks of core.img; the first one stands at the end
of its first sector, further ones in front of it, and one of no sectors ends them."""
LISTS_MAX: Final = 32
BOOT_BLOCK: Final = 1024
"""What ext leaves to a boot loader in front of its superblock."""


def take_loader(
    overlay: Overlay, base: Disk, left: Overlay, areas: Iterable[Span], parts: Iterable[Part]
) -> None:
    """Take over as they stand the blocks that a booted guest changed in areas (offset, bytes) that
    belong to no filesystem of the record.

    Raises: RecordRefused for a loader that would not be whole then.
    """
    apart = tuple(joined(sorted(areas)))
    _check_boot_blocks(base, left, parts)
    _check_grub(left, apart)
    for number in left.changed():
        begin = number * GRAIN_BYTES
        for offset, length in apart:
            start, end = max(begin, offset), min(begin + GRAIN_BYTES, offset + length)
            if start < end and (content := left.read(start, end - start)) != base.read(
                start, end - start
            ):
                overlay.write(start, content)


def _check_boot_blocks(base: Disk, left: Overlay, parts: Iterable[Part]) -> None:
    """Refuse a loader that was written into a partition, in front of its filesystem."""
    for part in parts:
        at = part.on_disk[0][0] if part.by_library else None
        if at is not None and base.read(at, BOOT_BLOCK) != left.read(at, BOOT_BLOCK):
            why = "a boot loader was written in front of its filesystem, from where none is taken"
            raise RecordRefused(where=part.mount, why=why)


def _check_grub(left: Overlay, areas: Sequence[Span]) -> None:
    """Refuse a GRUB whose first sector leads to blocks outside of the areas."""
    boot = left.read(0, SECTOR)
    if GRUB in boot:
        for span in _core_of(left, boot, areas):
            if any(outside([span], areas)):
                why = "GRUB was written as blocks of a filesystem, whose files lie elsewhere then;"
                why += " its drive has no BIOS boot partition, nor room before the first one"
                raise RecordRefused(where="the boot loader", why=why)


def _core_of(left: Overlay, boot: bytes, areas: Sequence[Span]) -> Iterator[Span]:
    """Where core.img lies, as boot.img and its own first sector say."""
    (sector,) = struct.unpack_from("<Q", boot, POINTER_AT)
    first = (sector * SECTOR, SECTOR)
    yield first
    # Whoever is asked for the next one has found the first to lie in the areas, so on the drive.
    lists = left.read(*first)
    for number in range(1, LISTS_MAX + 1):
        begin, count, _segment = LIST.unpack_from(lists, SECTOR - number * LIST.size)
        if not count:
            return
        yield begin * SECTOR, count * SECTOR
