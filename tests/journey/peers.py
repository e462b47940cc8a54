"""The same change by other means on a mounted disk, and whole trees to compare."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.change.script import PLACE, STATE, GuestCommand
from regild.image.convert import write_raw
from regild.image.disk import Disk
from regild.image.ext import ExtVolume, Inode
from tests.journey.alike import HEAD_BYTES, is_special, said
from tests.journey.machine import settled


def raw_disk(image: Path, target: Path) -> Path:
    """The disk of an image as a raw file."""
    with (
        open_image(image) as opened,
        open_system(opened, opened.only_system) as inspected,
        target.open("wb") as file,
    ):
        write_raw(inspected.boot.disk, file)
    return target


def upgrade_in_chroot(
    raw: Path,
    repository: Path,
    commands: Iterable[GuestCommand],
    environment: Mapping[str, str],
    mount: Path,
    folders: Iterable[str],
) -> None:
    """The way of the hand-made script: loop device, mount, chroot, the guest's own commands."""
    with mounted(raw, mount):
        run_below(mount, repository, commands, environment, folders)


def run_below(
    root: Path,
    repository: Path,
    commands: Iterable[GuestCommand],
    environment: Mapping[str, str],
    folders: Iterable[str],
) -> None:
    """The guest's own commands in a chroot, over what is mounted there."""
    state = root / STATE.lstrip("/")
    state.mkdir(parents=True)
    for name in folders:
        (state / name).mkdir(parents=True)
    place = root / PLACE.lstrip("/")
    shutil.copytree(repository, place)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for command in commands:
        line = ["chroot", str(root), "/usr/bin/env", "-i"]
        line += [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run([*line, *command.argv], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    policy.unlink()
    shutil.rmtree(place)
    shutil.rmtree(state)


@contextlib.contextmanager
def mounted(raw: Path, mount: Path) -> Iterator[None]:
    """The root of a raw disk, mounted for writing."""
    offset = _root_offset(raw)
    mount.mkdir()
    options = f"loop,offset={offset}"
    subprocess.run(["mount", "-o", options, raw, mount], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", mount], check=True)
        # A name space that others made meanwhile may hold a copy of the mount for a moment.
        assert settled(raw, seconds=120).loops == ()


def _root_offset(image: Path) -> int:
    with open_image(image) as opened, open_system(opened, opened.only_system) as inspected:
        return inspected.guest.mounts[0].volume.offset


class _Part:
    """One filesystem of a disk, for reading."""

    def __init__(self, disk: Disk, offset: int) -> None:
        self._disk, self._offset = disk, offset
        self.size = disk.size - offset

    def read(self, offset: int, length: int) -> bytes:
        return self._disk.read(self._offset + offset, length)

    def write(self, offset: int, content: bytes) -> None:
        raise AssertionError("nothing is written here")


def tree_of(image: Path, own: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    """Every path of the guest's root with all that it is, but for times and what is its `own`."""
    with open_image(image) as opened, open_system(opened, opened.only_system) as inspected:
        offset = inspected.guest.mounts[0].volume.offset
        volume = ExtVolume(_Part(inspected.boot.disk, offset), str(image))
        try:
            return tree_in(volume, own)
        finally:
            volume.close()


def tree_in(volume: ExtVolume, own: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    """The same of one filesystem."""
    found: dict[str, tuple[object, ...]] = {}
    for path, inode in volume.walk():
        if path.startswith(own):
            continue
        kind = stat.S_IFMT(inode.mode)
        found[path] = (
            oct(inode.mode),
            inode.uid,
            inode.gid,
            inode.size if kind == stat.S_IFREG else 0,
            0 if kind == stat.S_IFDIR else inode.links,
            volume.read_target(inode) if kind == stat.S_IFLNK else "",
            _digest_of(volume, path, inode) if kind == stat.S_IFREG else "",
            tuple(sorted(volume.read_attributes(inode).items())),
        )
    return found


def _digest_of(volume: ExtVolume, path: str, inode: Inode) -> str:
    """The digest of a file; of one that no two runs write alike, that of what it says."""
    pieces = _pieces_of(volume, inode)
    first = next(pieces, b"")
    if is_special(path, first[:HEAD_BYTES]):
        return hashlib.sha256(said(path, first + b"".join(pieces))).hexdigest()
    content = hashlib.sha256(first)
    for piece in pieces:
        content.update(piece)
    return content.hexdigest()


def _pieces_of(volume: ExtVolume, inode: Inode) -> Iterator[bytes]:
    """A file's bytes from its begin to its end; a hole reads as zeros."""
    done = 0
    for offset, piece in volume.read_content(inode):
        yield bytes(offset - done) + piece
        done = offset + len(piece)
    yield bytes(inode.size - done)


def differences(
    expected: dict[str, tuple[object, ...]], found: dict[str, tuple[object, ...]]
) -> list[str]:
    """The paths in which two trees are not the same."""
    paths = sorted(expected.keys() | found.keys())
    return [
        f"{path}: {expected.get(path)} != {found.get(path)}"
        for path in paths
        if expected.get(path) != found.get(path)
    ]
