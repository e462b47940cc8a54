"""The repack alone, as a process of its own, on a changed disk that is made before.

python -m bench.repack prepare OVA RAW OVERLAY    the overlay that makes OVA's disk equal RAW
python -m bench.repack repack OVA OVERLAY OUT     what `regild update` does after its change
python -m bench.repack view OVA OVERLAY           open OVA's disk so that it can be written to
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from regild.image.disk import Disk
from regild.image.formats import open_disk
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.vmdk_stream import plan_stream
from regild.model.progress import Silent
from regild.ovf.archive import open_appliance
from regild.publish.assemble import write_ova
from regild.publish.draft import NewDisk, draft_of


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
    """Plan the stream and publish it as the appliance's successor."""
    with (
        open_appliance(ova) as appliance,
        base_of(ova) as base,
        Overlay.open(overlay_path, base) as overlay,
        plan_stream(base, overlay, scratch=out.parent) as stream,
    ):
        (disk,) = appliance.envelope.disks
        new = NewDisk(stream, "vmdk-stream", overlay.size)
        write_ova(draft_of(appliance, out.stem, {disk.id: new}, {}), out, Silent())


def view(ova: Path, overlay_path: Path) -> None:
    """Open the disk of an OVA with an overlay over it, and write to it."""
    with base_of(ova) as base, Overlay.create(overlay_path, base) as overlay:
        overlay.write(0, base.read(0, GRAIN_BYTES))
        overlay.flush()


VERBS: dict[str, Callable[..., None]] = {"prepare": prepare, "repack": repack, "view": view}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*map(Path, sys.argv[2:]))
