"""A larger disk, a larger last partition, and the ext filesystem in it grown by resize2fs.

Runs as a stage, confined. resize2fs works on files alone, so the volume is taken out into a sparse
file and what differs afterwards goes into the overlay; resize2fs may move any block, and a file of
metadata alone would not do. Its clock stands still: equal images give equal results.
Source: resize2fs(8), e2fsck(8) of e2fsprogs 1.47; docs/adr/0066.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

from regild.errors import ChangeError, IntegrityError
from regild.host.run import Finished, run
from regild.image.convert import write_raw
from regild.image.disk import Disk
from regild.image.formats import disk_of
from regild.image.grains import GRAIN_BYTES, touched_units
from regild.image.longer import Longer, Stretch
from regild.image.overlay import Overlay
from regild.image.partition_grow import grow_partition
from regild.image.raw import RawDisk
from regild.image.spans import joined
from regild.image.window import Window, open_window
from regild.model.progress import Progress

MENDED: Final = 1
"""e2fsck's answer where it mended something small, such as an unclean journal."""

CLOCKS: Final = ("E2FSCK_TIME", "E2FSPROGS_FAKE_TIME")
"""What e2fsck and libext2fs take for the time."""


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: make an overlay of `new_bytes` over the disk in file descriptor `disk`, and grow
    the partition at `part_offset` with its filesystem of `part_bytes`.

    Raises: UnsupportedFormat, Malformed, ChangeError, IntegrityError, ToolMissing, DiskFull.
    """
    job, where = Path(request["job"]), request["where"]
    base = disk_of(Window(request["disk"], where, request["offset"], request["bytes"]))
    offset, old = request["part_offset"], request["part_bytes"]
    with Overlay.create(job / "overlay", Longer(base, request["new_bytes"])) as overlay:
        progress.step("Growing the partition")
        new = grow_partition(overlay, base.size, offset, where)
        volume = job / "volume.img"
        progress.step("Taking the filesystem out", old)
        with volume.open("xb") as file:
            write_raw(Stretch(base, offset, old), file, progress)
            file.truncate(new)
        _grow_filesystem(volume, progress)
        progress.step("Writing what changed", new)
        with open_window(volume) as window:
            _take_over(RawDisk(window), overlay, offset, progress)
        volume.unlink()
        overlay.flush()
        return {"part_bytes": new, "changed_grains": len(overlay.changed())}


def _grow_filesystem(volume: Path, progress: Progress) -> None:
    """Check, grow, and check again."""
    moment = dict.fromkeys(CLOCKS, str(_last_moment(volume) + 1))
    progress.step("Growing the filesystem")
    checked = _run(["e2fsck", "-f", "-p", volume], moment)
    if checked.code not in (0, MENDED):
        raise ChangeError(where="the filesystem", why=f"e2fsck finds: {checked.tail}")
    grown = _run(["resize2fs", volume], moment)
    if grown.code != 0:
        said = grown.tail.splitlines()  # its last line says why, those before who it is
        raise ChangeError(where="the filesystem", why=f"resize2fs says: {''.join(said[-1:])}")
    # Not with -n: what it writes is the moment, which resize2fs takes from this machine's clock.
    if _run(["e2fsck", "-f", "-p", volume], moment).code != 0:
        raise IntegrityError(where="the grown filesystem", why="e2fsck does not find it clean")


def _run(argv: list[str | Path], moment: dict[str, str]) -> Finished:
    return run(argv, purpose="to grow a filesystem", env=moment, check=False)


def _last_moment(volume: Path) -> int:
    """When the filesystem was last mounted, written or checked, in seconds since 1970."""
    with volume.open("rb") as file:
        head = file.read(2048)[1024:]
    mounted, written = struct.unpack_from("<II", head, 44)
    (checked,) = struct.unpack_from("<I", head, 64)
    return int(max(mounted, written, checked))


def _take_over(new: RawDisk, overlay: Overlay, offset: int, progress: Progress) -> None:
    """Put every grain of the volume that differs from what the disk holds into the overlay."""
    was: Disk = Stretch(overlay, offset, new.size)
    here = 0
    for number in touched_units(joined(was.extents(), new.extents()), GRAIN_BYTES):
        at = number * GRAIN_BYTES
        length = min(GRAIN_BYTES, new.size - at)
        content = new.read(at, length)
        if content != was.read(at, length):
            overlay.write(offset + at, content)
        progress.advance(at + length - here)
        here = at + length
