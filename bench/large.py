"""What an update costs beside data that it does not touch: the same system, with and without them.

Root, because the data are written through a mount. How many gigabytes is said by
REGILD_BENCH_DATA_GB (2 where nothing is said); twice as much must be free on the disk, and more.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from demo.build import find_appliance
from regild.host.run import run
from regild.image.convert import write_raw
from regild.image.formats import open_disk
from regild.ovf.archive import open_appliance

GIB = 1 << 30
FILE_BYTES, SMALL_BYTES = 32 << 20, 20_000
SMALL_PER_GIB = 2000


def make_disk(path: Path, gibibytes: int, appliance: str = "small") -> Path:
    """The disk of an appliance, with a larger root filesystem that holds so many GiB of data."""
    with open_appliance(find_appliance(appliance)) as opened:
        source = opened.disk_source(opened.envelope.disks[0])
        assert source is not None
        (member,) = source.parts
        with open_disk(member.path, member.offset, member.bytes) as disk, path.open("wb") as file:
            write_raw(disk, file)
    os.truncate(path, path.stat().st_size + gibibytes * (GIB + GIB // 8))
    line = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "-N", "1", str(path)]
    subprocess.run(line, input=", +", text=True, check=True)
    with _looped(path) as device:
        run(["e2fsck", "-fp", device], purpose="to resize", check=False)
        run(["resize2fs", device], purpose="to have room for data")
        with _mounted(device) as root:
            _fill(root / "srv", gibibytes)
    return path


def _fill(folder: Path, gibibytes: int) -> None:
    """Large files and small ones, none of which can be packed."""
    for gib in range(gibibytes):
        place = folder / f"store/{gib}"
        place.mkdir(parents=True)
        for number in range((GIB - SMALL_BYTES * SMALL_PER_GIB) // FILE_BYTES):
            (place / f"{number}.large").write_bytes(os.urandom(FILE_BYTES))
        for number in range(SMALL_PER_GIB):
            (place / f"{number}.small").write_bytes(os.urandom(SMALL_BYTES))


@contextlib.contextmanager
def _looped(path: Path) -> Iterator[str]:
    told = run(["sfdisk", "--json", path], purpose="to find the partition").stdout
    first = json.loads(told)["partitiontable"]["partitions"][0]
    place = ["-o", str(first["start"] * 512), "--sizelimit", str(first["size"] * 512)]
    made = run(["losetup", "-f", "--show", *place, path], purpose="to write to it").stdout
    device = made.decode().strip()
    try:
        yield device
    finally:
        run(["losetup", "-d", device], purpose="to let go of it")


@contextlib.contextmanager
def _mounted(device: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        run(["mount", device, folder], purpose="to write data")
        try:
            yield Path(folder)
        finally:
            run(["umount", folder], purpose="to let go of it")
