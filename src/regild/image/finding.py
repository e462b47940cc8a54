"""Finding the guest on a disk: its root, the volumes of its fstab, and what could not be read.

Fail closed: a volume that was not read, and a volume that the fstab names and the disk lacks, is an
`Unknown`; a disk without a guest is an error that says what was seen instead.
"""

from __future__ import annotations

from regild.errors import (
    Ambiguous,
    Encrypted,
    InputError,
    NothingRead,
    RegildError,
    Truncated,
    UnsupportedError,
    UnsupportedFilesystem,
    WrongKey,
)
from regild.image.disk import Disk
from regild.image.filesystems import Filesystem, open_filesystem
from regild.image.keys import NO_KEYS, Keys
from regild.image.layers import Layers, read_layers
from regild.image.mounts import fstab_lines, mounted, with_names
from regild.image.paths import MountedTree
from regild.image.space import space_of
from regild.image.tree import Guest, Mount
from regild.image.unclean import whys_unclean
from regild.image.volumes import read_volumes
from regild.model.content import Unknown

MACOS_MARK = "/System/Library/CoreServices/SystemVersion.plist"
ROOT_MARKS = (
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/redhat-release",
    "/Windows/System32/config/SOFTWARE",
    MACOS_MARK,
)
"""One of these makes a volume the guest's root: os-release(5), what Red Hat's kin had before it,
the registry of Windows, macOS's version."""
DATABASE_MARKS = ("/var/lib/dpkg", "/var/lib/rpm")
"""One of these does where nothing says what the guest is. A subvolume `var` beside the one that is
the root has them too, at the same path from the top."""

MACOS_DATA = "/System/Volumes/Data"
"""Where macOS since 10.15 mounts the volume that holds all that changes."""


def found_guest(disk: Disk, where: str, keys: Keys = NO_KEYS) -> Guest:
    """The guest of a disk (see `regild.image.guest.open_guest`).

    Raises: as `regild.image.guest.open_guest`.
    """
    layers = read_layers(disk, read_volumes(disk, where), keys, where)
    disk = layers.disk
    opened, unknowns = _opened(layers)
    unknowns += layers.lost
    root = _root(opened, layers, unknowns, where)
    tree = MountedTree(root)
    volumes = with_names(tree, layers.volumes)
    mounts, missing = mounted(tree, root, opened, volumes)
    mounts += _macos_data(tree, root, opened)
    for mount in mounts:
        filesystem = opened.get(mount.volume.number)
        whys = whys_unclean(disk, mount.volume, filesystem)
        unknowns += [Unknown(mount.volume.name, why) for why in whys]
    spaces = tuple(space for mount in mounts if (space := space_of(disk, mount)) is not None)
    return Guest(
        tree=tree,
        volumes=volumes,
        mounts=tuple(mounts),
        unknowns=(*unknowns, *missing),
        spaces=spaces,
    )


def _opened(layers: Layers) -> tuple[dict[int, Filesystem], list[Unknown]]:
    """Every filesystem that can be read, by its volume's number, and why the others cannot."""
    opened: dict[int, Filesystem] = {}
    unknowns: list[Unknown] = []
    for volume in layers.volumes:
        if volume.kind == "filesystem":
            try:
                found = opened[volume.number] = open_filesystem(layers.disk, volume)
                unknowns += [
                    Unknown(f"{volume.name}, {name}", "it is encrypted") for name in found.refused
                ]
            except (InputError, UnsupportedError) as error:
                layers.refusals[volume.number] = error
                unknowns.append(Unknown(volume.name, error.why))
        elif volume.kind == "encrypted":
            refusal = layers.refusals.get(volume.number)
            why = str(getattr(refusal, "why", "it is encrypted inside of an encrypted volume"))
            unknowns.append(Unknown(volume.name, why))
        elif volume.kind == "lvm" and (volume.number in layers.whys or volume.layer == "LVM"):
            why = layers.whys.get(volume.number, "it is an LVM physical volume inside of another")
            unknowns.append(Unknown(volume.name, why))
        elif volume.kind == "unknown":
            unknowns.append(Unknown(volume.name, volume.why))
    return opened, unknowns


def _root(
    opened: dict[int, Filesystem],
    layers: Layers,
    unknowns: list[Unknown],
    where: str,
) -> Filesystem:
    """The one filesystem that looks like a guest's root."""
    found = []
    for filesystem in opened.values():
        try:
            found += _roots(filesystem, ROOT_MARKS) or _roots(filesystem, DATABASE_MARKS)
        except RegildError as error:
            layers.refusals[filesystem.volume.number] = error
            unknowns.append(Unknown(filesystem.volume.name, str(error)))
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(filesystem.volume.name for filesystem in found)
        raise Ambiguous(where=where, why=f"{names} each hold an operating system")
    raise _no_guest(layers, opened, unknowns, where)


def _roots(filesystem: Filesystem, marks: tuple[str, ...]) -> list[Filesystem]:
    """What of a filesystem has one of these marks: all of it, or subvolumes; where several do,
    those that say of themselves that they are the root."""
    if _has(MountedTree(filesystem), marks):
        return [filesystem]
    found = [pair for pair in filesystem.subvolumes() if _has(MountedTree(pair[1]), marks)]
    own = [one for name, one in found if len(found) == 1 or _calls_itself_root(one, name)]
    return own or [one for _name, one in found]


def _calls_itself_root(subvolume: Filesystem, name: str) -> bool:
    lines = fstab_lines(MountedTree(subvolume))
    roots = [line.subvolume for line in lines if line.path == "/"]
    return [one.strip("/") for one in roots if one] == [name]


def _has(tree: MountedTree, marks: tuple[str, ...]) -> bool:
    return any(tree.find(mark) is not None for mark in marks)


def _macos_data(tree: MountedTree, root: Filesystem, opened: dict[int, Filesystem]) -> list[Mount]:
    """Mount the volume of data that stands beside the system's in a container of APFS."""
    container = opened[root.volume.number]
    if root.volume.filesystem != "apfs" or tree.find(MACOS_MARK) is None:
        return []
    for _name, part in container.subvolumes():
        own = MountedTree(part)
        if own.find("/private/var/db") is not None and own.find(MACOS_MARK) is None:
            tree.mount(MACOS_DATA, part)
            return [Mount(MACOS_DATA, root.volume, "apfs")]
    return []


def _no_guest(
    layers: Layers, opened: dict[int, Filesystem], unknowns: list[Unknown], where: str
) -> RegildError:
    """The error that says what was seen in place of a guest."""
    volumes = layers.volumes
    seen = "; ".join(f"{unknown.where}: {unknown.why}" for unknown in unknowns)
    strange = [v for v in volumes if v.kind in ("encrypted", "lvm", "unknown")]
    if any(isinstance(error, WrongKey) for error in layers.refusals.values()):
        return WrongKey(where=where, why=seen)
    cut = any(v.offset + v.bytes > layers.disk.size for v in strange)
    if cut or any(isinstance(error, Truncated) for error in layers.refusals.values()):
        return Truncated(where=where, why=seen)
    if strange and all(volume.kind == "encrypted" for volume in strange):
        return Encrypted(where=where, why=seen)
    if seen and any(v.kind == "filesystem" for v in volumes):
        return UnsupportedFilesystem(where=where, why=seen)
    if seen:
        return NothingRead(where=where, why=seen)
    if all(volume.kind in ("empty", "swap", "bios-boot") for volume in volumes):
        return NothingRead(where=where, why="it is empty")
    why = "no filesystem on it holds an operating system"
    return NothingRead(where=where, why="; ".join((why, *_unclean(layers, opened))))


def _unclean(layers: Layers, opened: dict[int, Filesystem]) -> list[str]:
    """What is still to be replayed, for a guest may only have got as far as a journal."""
    found: list[str] = []
    for filesystem in opened.values():
        volume = filesystem.volume
        try:
            whys = whys_unclean(layers.disk, volume, filesystem)
        except InputError as error:
            whys = (error.why,)
        found += [f"{volume.name}: {why}" for why in whys]
    return found
