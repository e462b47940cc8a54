"""The repack alone, as a process of its own, on a changed disk that is made before.

python -m bench.repack prepare OVA RAW OVERLAY    the overlay that makes OVA's disk equal RAW
python -m bench.repack repack OVA OVERLAY OUT     what `regild update` does after its change
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regild.image.disk import Disk, open_disk
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.vmdk_stream import plan_stream
from regild.ovf.archive import open_appliance


@contextmanager
def base_of(ova: Path) -> Iterator[Disk]:
    """The disk inside an OVA, in place."""
    with open_appliance(ova) as appliance:
        member = next(one for name, one in appliance.members.items() if name.endswith(".vmdk"))
        with open_disk(member.path, member.offset, member.bytes) as disk:
            yield disk


def prepare(ova: Path, raw: Path, overlay_path: Path) -> None:
    """Write every grain in which a raw disk differs from the OVA's into an overlay."""
    with base_of(ova) as base, raw.open("rb") as changed:
        overlay = Overlay.create(overlay_path, base)
        for offset in range(0, base.size, GRAIN_BYTES):
            length = min(GRAIN_BYTES, base.size - offset)
            content = changed.read(length)
            if content != base.read(offset, length):
                if content.count(0) == length:
                    overlay.discard(offset, length)
                else:
                    overlay.write(offset, content)
        overlay.flush()
        overlay.close()


def repack(ova: Path, overlay_path: Path, out: Path) -> None:
    """Plan the stream, hash it as it is written, wrap it as an OVA."""
    hashed = hashlib.sha256()
    with (
        base_of(ova) as base,
        Overlay.open(overlay_path, base) as overlay,
        plan_stream(base, overlay, scratch=out.parent) as stream,
        out.open("wb") as file,
    ):
        for name, size in (("appliance.ovf", 0), ("appliance.mf", 0), ("disk1.vmdk", stream.bytes)):
            file.write(_entry(name, size).tobuf(tarfile.USTAR_FORMAT))
        stream.write_to(file, hashed.update)
        file.write(bytes(-stream.bytes % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))
        file.flush()
        os.fsync(file.fileno())


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


if __name__ == "__main__":
    {"prepare": prepare, "repack": repack}[sys.argv[1]](*map(Path, sys.argv[2:]))
