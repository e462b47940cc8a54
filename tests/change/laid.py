"""A guest laid out anew: its files over several volumes, by the kernel and LVM's own tools.

Needs root: volumes are filled through mounts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regild.change.apply import DiskFile
from regild.change.tree import Part
from regild.image.convert import write_raw
from regild.image.disk import Disk
from regild.image.formats import open_disk
from regild.image.keys import NO_KEYS
from regild.image.layers import read_layers
from regild.image.overlay import Overlay
from regild.image.volumes import Volume, read_volumes
from tests.change.guests import Guest, guest_of, parts_in
from tests.image.disks import tool
from tests.image.mounted import mounted
from tests.image.test_lvm import looped, lvm
from tests.journey.machine import settled

MIB = 1 << 20
SECTOR = 512
GROUP = "golden"


@dataclass(frozen=True)
class Laid:
    """One volume: where it is mounted, what it is, how large, and whether it is a logical one."""

    mount: str
    filesystem: str = "ext4"
    mebibytes: int = 300
    logical: bool = False

    @property
    def name(self) -> str:
        """As its file, and its logical volume, is called."""
        return self.mount.strip("/").replace("/", "-") or "root"


def _keep(_root: Path) -> None:
    """Nothing is marked."""


def laid_out(
    appliance: Path, folder: Path, layout: Sequence[Laid], mark: Callable[[Path], None] = _keep
) -> Guest:
    """The guest of an appliance on a new raw disk with these volumes, the root first; `mark` may
    change the mounted tree before."""
    made = [_make_volume(folder, one) for one in layout]
    _fill(appliance, folder, layout, made, mark)
    disk = _make_disk(folder / "laid.raw", layout)
    _put(disk, layout, made)
    for path in made:
        path.unlink()
    place = DiskFile(disk, 0, disk.stat().st_size)
    return Guest(place, parts_in(place))


def _make_volume(folder: Path, one: Laid) -> Path:
    path = folder / f"{one.name}.volume"
    with path.open("wb") as file:
        file.truncate(one.mebibytes * MIB)
    if one.filesystem.startswith("ext"):
        tool("mke2fs", "-q", "-F", "-t", one.filesystem, path)
    else:
        tool(f"mkfs.{one.filesystem}", "-q", path)
    return path


def _fill(
    appliance: Path,
    folder: Path,
    layout: Sequence[Laid],
    made: Sequence[Path],
    mark: Callable[[Path], None],
) -> None:
    """Copy the guest's files over all volumes, mounted as one tree."""
    guest = guest_of(appliance)
    whole = folder / "whole.raw"
    place = guest.disk
    with open_disk(place.path, place.offset, place.bytes) as disk, whole.open("wb") as file:
        write_raw(disk, file)
    offset = f"offset={guest.parts[0].offset}"
    with (
        mounted(whole, folder / "whole", "ro", "noload", offset) as source,
        _tree(folder, layout, made) as target,
    ):
        copy = (
            "tar -cC $0 --xattrs --xattrs-include='*' . | tar -xpC $1 --xattrs --xattrs-include='*'"
        )
        subprocess.run(["sh", "-c", copy, source, target], check=True)
        lines = [
            f"{_device(one, path)} {one.mount} {one.filesystem} defaults 0 1"
            for one, path in zip(layout, made, strict=True)
        ]
        (target / "etc/fstab").write_text("\n".join(lines) + "\n")
        mark(target)
    for path in (whole, *made):
        # A name space that others made meanwhile may hold a copy of the mount for a moment.
        assert settled(path, seconds=120).loops == (), path
    whole.unlink()


@contextlib.contextmanager
def _tree(folder: Path, layout: Sequence[Laid], made: Sequence[Path]) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        root = folder / "laid"
        root.mkdir()
        for one, path in zip(layout, made, strict=True):
            place = root / one.mount.strip("/")
            place.mkdir(parents=True, exist_ok=True)
            stack.enter_context(mounted(path, place))
        yield root


def _device(one: Laid, path: Path) -> str:
    if one.logical:
        return f"/dev/mapper/{GROUP}-{one.name}"
    done = subprocess.run(
        ["blkid", "-o", "value", "-s", "UUID", path], capture_output=True, text=True, check=True
    )
    return f"UUID={done.stdout.strip()}"


def _make_disk(disk: Path, layout: Sequence[Laid]) -> Path:
    """A GPT disk: a partition for each plain volume, and two for a group of all logical ones.

    The logical volumes take turns on both physical ones, so that none lies in one piece.
    """
    plain = [one.mebibytes for one in layout if not one.logical]
    logical = [one for one in layout if one.logical]
    half = sum(one.mebibytes for one in logical) // 2 + 8
    sizes = [*plain, *([half, half] if logical else [])]
    entries, at = [], 4096  # the first two MiB are a boot loader's
    for size in sizes:
        entries.append((at, size * 2048))
        at += size * 2048
    with disk.open("wb") as file:
        file.truncate((at + 2048) * SECTOR)
    _write_table(disk, entries)
    if logical:
        _make_group(disk, entries[-2:], logical)
    return disk


def _write_table(disk: Path, entries: Sequence[tuple[int, int]]) -> None:
    lines = ["label: gpt", "unit: sectors"]
    lines += [f"start={first}, size={count}" for first, count in entries]
    text = "\n".join(lines)
    line = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk)]
    subprocess.run(line, input=text, text=True, check=True)


def _make_group(disk: Path, entries: Sequence[tuple[int, int]], logical: Sequence[Laid]) -> None:
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(looped(disk, first * SECTOR, count * SECTOR))
            for first, count in entries
        ]
        lvm("pvcreate", both, *both)
        lvm("vgcreate", both, "-s", "1M", GROUP, *both)
        for one in logical:
            half = one.mebibytes // 2
            create = ("lvcreate", both, "-an", "-Zn", "-Wn", "-L", f"{half}M", "-n", one.name)
            lvm(*create, GROUP, both[1])
            lvm("lvextend", both, "-L", f"{one.mebibytes}M", f"{GROUP}/{one.name}", both[0])


def _put(disk: Path, layout: Sequence[Laid], made: Sequence[Path]) -> None:
    """Write the volumes to where the disk has them."""
    with open_disk(disk) as opened:
        layers = read_layers(opened, read_volumes(opened), NO_KEYS, "test")
        plain = iter([one for one in layers.volumes if one.kind == "empty"])
        with disk.open("r+b") as file:
            for one, path in zip(layout, made, strict=True):
                _copy(path, file.fileno(), _place(one, layers.volumes, plain))


def _place(one: Laid, volumes: Sequence[Volume], plain: Iterator[Volume]) -> Volume:
    if one.logical:
        return next(volume for volume in volumes if volume.device == f"{GROUP}-{one.name}")
    return next(volume for volume in plain if not volume.layer)


def _copy(path: Path, disk: int, volume: Volume) -> None:
    with path.open("rb") as file:
        for offset, length in volume.on_disk:
            while length:
                piece = file.read(min(length, MIB))
                if piece.count(0) != len(piece):
                    os.pwrite(disk, piece, offset)
                offset, length = offset + len(piece), length - len(piece)


def volumes_of(parts: Sequence[Part], disk: Disk | Overlay, folder: Path) -> dict[str, Path]:
    """The volumes of a disk as sparse files in a folder, by mount point."""
    found = {}
    for number, part in enumerate(parts):
        path = found[part.mount] = folder / f"{number}.volume"
        begin = 0
        with path.open("wb") as file:
            for offset, length in part.on_disk:
                for at in range(offset, offset + length, MIB):
                    piece = disk.read(at, min(MIB, offset + length - at))
                    if piece.count(0) != len(piece):
                        os.pwrite(file.fileno(), piece, begin + at - offset)
                begin += length
            file.truncate(begin)
    return found
