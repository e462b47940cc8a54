"""A disk that is stored in chunks, or compressed, brought into one place so that it can be changed.

What is gathered lies in a file without a name, which vanishes with the process. The new image holds
the disk as one plain file: a package need not say `chunkSize` or `compression` of it any more
(DSP0243, 7.1; docs/adr/0023).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from regild.agent.reading.inspect import Inspected
from regild.host.files import translated
from regild.image.formats import open_plain
from regild.model.progress import Progress

PIECE_BYTES: Final = 1 << 20


@contextlib.contextmanager
def gathered(inspected: Inspected, folder: Path, progress: Progress) -> Iterator[Inspected]:
    """The same system, its boot disk in one place; as it is where it lies so already.

    The copy is made on the filesystem of `folder`.

    Raises: UnsupportedFormat for a disk on a server or a delta disk; Malformed, Truncated,
    TooLarge, DiskFull.
    """
    boot = inspected.boot
    stored = boot.stored
    apart = replace(stored, parts=stored.parts[:1], packed=False)
    place = apart.whole()
    if stored == apart:
        yield inspected
        return
    progress.note(f"{stored.name} is in chunks or compressed; the new image has it as a plain file")
    progress.step(f"Gathering {stored.name}")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        translated(folder),
        tempfile.TemporaryFile(dir=folder) as file,
        open_plain(stored.parts, stored.packed) as plain,
    ):
        for offset in range(0, plain.size, PIECE_BYTES):
            piece = plain.read(offset, min(PIECE_BYTES, plain.size - offset))
            file.seek(offset)
            if piece.count(0) != len(piece):
                file.write(piece)
            progress.advance(len(piece))
        file.truncate(plain.size)
        file.flush()
        place = (Path(f"/proc/self/fd/{file.fileno()}"), 0, plain.size)
        whole = replace(boot, stored=replace(apart, parts=(place,)))
        disks = tuple(whole if one is boot else one for one in inspected.disks)
        yield replace(inspected, boot=whole, disks=disks)
