"""Finding the guest on a disk: its root, the volumes of its fstab, and what could not be read.

Fail closed: a volume that was not read, and a volume that the fstab names and the disk lacks, is an
`Unknown`; a disk without a guest is an error that says what was seen instead.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from regild.errors import (
    Ambiguous,
    Encrypted,
    InputError,
    MissingFile,
    NothingRead,
    RegildError,
    UnsupportedError,
    UnsupportedFilesystem,
)
from regild.image.disk import Disk
from regild.image.filesystems import Filesystem, open_filesystem
from regild.image.fstab import MAX_FSTAB_BYTES, MAX_MOUNTS, Line, find_volume, read_fstab
from regild.image.paths import MountedTree
from regild.image.tree import Guest, Mount
from regild.image.volumes import Volume, logical_volume, read_volumes
from regild.image.xfs_log import is_clean
from regild.model.content import Unknown, VolumeSpace

ROOT_MARKS = ("/etc/os-release", "/usr/lib/os-release", "/var/lib/dpkg")
"""One of these makes a volume the guest's root: os-release(5), dpkg's database."""

FIRST_LOGICAL = 1_000_000
"""Numbers of logical volumes, which no partition has."""

_BTRFS_LOG_AT = 65536 + 0x60
"""Where a btrfs says where its log tree is; zeros where it has none."""

_EXT_RECOVER = 0x4
_EXT_CLEAN = 0x1
_EXT_ERRORS = 0x2


def found_guest(disk: Disk, where: str) -> Guest:
    """The guest of a disk (see `regild.image.tree.open_guest`).

    Raises: as `regild.image.tree.open_guest`.
    """
    volumes = read_volumes(disk, where)
    whys: dict[int, str] = {}
    lost: list[Unknown] = []
    if any(volume.kind == "lvm" for volume in volumes):
        disk, volumes, whys, lost = _with_logical(disk, volumes)
    opened, unknowns = _opened(disk, volumes, whys)
    unknowns += lost
    root = _root(opened, volumes, unknowns, where)
    tree = MountedTree(root)
    mounts, missing = _mounted(tree, root, opened, volumes)
    spaces = tuple(
        space for mount in mounts if (space := _space(disk, mount, unknowns)) is not None
    )
    return Guest(
        tree=tree,
        volumes=volumes,
        mounts=tuple(mounts),
        unknowns=(*unknowns, *missing),
        spaces=spaces,
    )


def _with_logical(
    disk: Disk, volumes: Sequence[Volume]
) -> tuple[Disk, tuple[Volume, ...], dict[int, str], list[Unknown]]:
    """The disk and its volumes with the logical ones behind, and what of LVM cannot be read."""
    from regild.image.lvm import read_groups

    groups = read_groups(disk, volumes)
    found = list(volumes)
    lost = []
    for number, one in enumerate(groups.volumes, FIRST_LOGICAL):
        name = f"LVM volume {one.name}"
        if one.why:
            lost.append(Unknown(name, one.why))
        else:
            volume = logical_volume(groups.disk, number, one.offset, one.bytes, name)
            found.append(replace(volume, device=one.device))
    return groups.disk, tuple(found), groups.whys, lost


def _opened(
    disk: Disk, volumes: Sequence[Volume], whys: Mapping[int, str]
) -> tuple[dict[int, Filesystem], list[Unknown]]:
    """Every filesystem that can be read, by its volume's number, and why the others cannot."""
    opened: dict[int, Filesystem] = {}
    unknowns: list[Unknown] = []
    for volume in volumes:
        if volume.kind == "filesystem":
            try:
                opened[volume.number] = open_filesystem(disk, volume)
            except (InputError, UnsupportedError) as error:
                unknowns.append(Unknown(volume.name, error.why))
        elif volume.kind == "encrypted":
            unknowns.append(Unknown(volume.name, f"it is encrypted ({volume.filesystem})"))
        elif volume.kind == "lvm" and (volume.number in whys or volume.device):
            why = whys.get(volume.number, "it is an LVM physical volume inside of another")
            unknowns.append(Unknown(volume.name, why))
        elif volume.kind == "unknown":
            unknowns.append(Unknown(volume.name, volume.why))
    return opened, unknowns


def _root(
    opened: dict[int, Filesystem],
    volumes: Sequence[Volume],
    unknowns: list[Unknown],
    where: str,
) -> Filesystem:
    """The one filesystem that looks like a guest's root."""
    found = []
    for filesystem in opened.values():
        try:
            if _is_root(MountedTree(filesystem)):
                found.append(filesystem)
            else:
                found.extend(_root_subvolumes(filesystem))
        except RegildError as error:
            unknowns.append(Unknown(filesystem.volume.name, str(error)))
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(filesystem.volume.name for filesystem in found)
        raise Ambiguous(where=where, why=f"{names} each hold an operating system")
    raise _no_guest(volumes, unknowns, where)


def _root_subvolumes(filesystem: Filesystem) -> list[Filesystem]:
    """The subvolumes that look like a root; where several do, those that say it of themselves."""
    found = [(name, one) for name, one in filesystem.subvolumes() if _is_root(MountedTree(one))]
    own = [one for name, one in found if len(found) == 1 or _calls_itself_root(one, name)]
    return own or [one for _name, one in found]


def _calls_itself_root(subvolume: Filesystem, name: str) -> bool:
    lines = _lines(MountedTree(subvolume))
    roots = [line.subvolume for line in lines if line.path == "/"]
    return [one.strip("/") for one in roots if one] == [name]


def _is_root(tree: MountedTree) -> bool:
    return any(tree.find(mark) is not None for mark in ROOT_MARKS)


def _no_guest(volumes: Sequence[Volume], unknowns: list[Unknown], where: str) -> RegildError:
    """The error that says what was seen in place of a guest."""
    seen = "; ".join(f"{unknown.where}: {unknown.why}" for unknown in unknowns)
    strange = [v for v in volumes if v.kind in ("encrypted", "lvm", "unknown")]
    if strange and all(volume.kind == "encrypted" for volume in strange):
        return Encrypted(where=where, why=seen)
    if seen and any(v.kind == "filesystem" for v in volumes):
        return UnsupportedFilesystem(where=where, why=seen)
    if seen:
        return NothingRead(where=where, why=seen)
    if all(volume.kind in ("empty", "swap", "bios-boot") for volume in volumes):
        return NothingRead(where=where, why="it is empty")
    return NothingRead(where=where, why="no filesystem on it holds an operating system")


def _mounted(
    tree: MountedTree,
    root: Filesystem,
    opened: dict[int, Filesystem],
    volumes: Sequence[Volume],
) -> tuple[list[Mount], list[Unknown]]:
    """Mount what the guest's fstab names; what of it is not on this disk is unknown."""
    mounts = [Mount("/", root.volume, _kind(root.volume))]
    missing: list[Unknown] = []
    try:
        lines = _lines(tree)
    except RegildError as error:
        return mounts, [Unknown("/etc/fstab", str(error))]
    for line in lines:
        if line.bound:
            missing.extend(_bound(tree, line))
            continue
        volume = find_volume(line.spec, volumes)
        filesystem = opened.get(volume.number) if volume else None
        if filesystem is not None and line.subvolume and line.path != "/":
            missing.extend(_subvolume(tree, line, filesystem, mounts))
            continue
        why = _why_not(line, volume, filesystem, root)
        if why:
            missing.append(Unknown(line.path, why))
        elif filesystem is not None and filesystem.volume is not root.volume:
            tree.mount(line.path, filesystem)
            mounts.append(Mount(line.path, filesystem.volume, _kind(filesystem.volume)))
    return mounts, missing


def _kind(volume: Volume) -> str:
    """The filesystem's name; one on LVM is called so, because it is only read."""
    return f"{volume.filesystem} on LVM" if volume.device else volume.filesystem


def _subvolume(
    tree: MountedTree, line: Line, filesystem: Filesystem, mounts: list[Mount]
) -> list[Unknown]:
    """Mount a subvolume of btrfs that a line names."""
    part = line.subvolume or ""
    try:
        found = filesystem.subvolume(part)
    except RegildError as error:
        return [Unknown(line.path, str(error))]
    if found is None:
        return [Unknown(line.path, f"there is no subvolume {part!r} in {line.spec}")]
    tree.mount(line.path, found)
    mounts.append(Mount(line.path, filesystem.volume, _kind(filesystem.volume)))
    return []


def _bound(tree: MountedTree, line: Line) -> list[Unknown]:
    try:
        tree.bind(line.path, line.spec)
    except RegildError as error:
        return [Unknown(line.path, f"it shows {line.spec}, and {error}")]
    return []


def _lines(tree: MountedTree) -> list[Line]:
    try:
        content = tree.read("/etc/fstab", MAX_FSTAB_BYTES)
    except MissingFile:
        return []
    lines = [line for line in read_fstab(content.decode("utf-8", "replace")) if line.local]
    # Parents before children, whatever their order in the file.
    lines.sort(key=lambda line: line.path.rstrip("/").count("/"))
    if len(lines) > MAX_MOUNTS:
        raise UnsupportedFilesystem(where="/etc/fstab", why=f"it names {len(lines)} volumes")
    return lines


def _why_not(
    line: Line, volume: Volume | None, filesystem: Filesystem | None, root: Filesystem
) -> str:
    """Why a line of the fstab cannot be followed; empty when it can."""
    if line.path.strip("/") == "":
        # Names of devices change with the machine; a tag that is not there means another disk.
        lost = volume is None and "=" in line.spec
        if lost or (volume is not None and volume is not root.volume):
            return f"fstab names {line.spec} as the root, and another volume looks like it"
        return ""
    if volume is None:
        return f"its volume {line.spec} is not on this disk"
    if filesystem is None:
        return f"its volume {line.spec} could not be read"
    if volume is root.volume:
        return f"it is another part (a subvolume) of {line.spec}, which is not read"
    return ""


def _xfs_is_clean(disk: Disk, volume: Volume) -> bool:
    try:
        return is_clean(lambda at, length: disk.read(volume.offset + at, length))
    except InputError:
        return False


def _space(disk: Disk, mount: Mount, unknowns: list[Unknown]) -> VolumeSpace | None:
    """The free room of an ext filesystem, from its superblock; a dirty journal is unknown."""
    volume = mount.volume
    if volume.filesystem == "xfs" and not _xfs_is_clean(disk, volume):
        why = "it was not shut down cleanly; its log holds changes that were not read"
        unknowns.append(Unknown(volume.name, why))
    if volume.filesystem == "btrfs" and any(disk.read(volume.offset + _BTRFS_LOG_AT, 8)):
        why = "it was not shut down cleanly; its log holds changes that were not read"
        unknowns.append(Unknown(volume.name, why))
    if not volume.filesystem.startswith("ext"):
        return None
    superblock = disk.read(volume.offset + 1024, 1024)
    blocks, reserved, free, free_inodes, _first, log_block = struct.unpack_from(
        "<6I", superblock, 4
    )
    state = struct.unpack_from("<H", superblock, 0x3A)[0]
    incompatible = struct.unpack_from("<I", superblock, 0x60)[0]
    if incompatible & 0x80:
        high = struct.unpack_from("<III", superblock, 0x150)
        blocks, reserved, free = (
            low | above << 32 for low, above in zip((blocks, reserved, free), high, strict=True)
        )
    dirty = bool(incompatible & _EXT_RECOVER) or not state & _EXT_CLEAN
    if state & _EXT_ERRORS:
        unknowns.append(Unknown(volume.name, "it is marked as damaged; fsck has to look at it"))
    if dirty:
        why = "it was not shut down cleanly; its journal holds changes that were not read"
        unknowns.append(Unknown(volume.name, why))
    return VolumeSpace(
        mount=mount.path,
        volume=f"UUID={volume.uuid}",
        filesystem=volume.filesystem,
        block_bytes=1024 << log_block,
        blocks=blocks,
        free_blocks=free,
        reserved_blocks=reserved,
        free_inodes=free_inodes,
        dirty=dirty,
    )
