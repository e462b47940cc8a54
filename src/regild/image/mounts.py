"""Putting the guest's tree together: what its fstab and its mount units name, on the volumes here.

fstab(5), crypttab(5), and what `regild.image.units` reads. A unit of systemd is taken before a line
of the fstab for the same place, as systemd takes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from regild.errors import MissingFile, RegildError, UnsupportedFilesystem
from regild.image.filesystems import Filesystem
from regild.image.fstab import MAX_FSTAB_BYTES, MAX_MOUNTS, Line, find_volume, read_fstab
from regild.image.layers import FIRST_UNLOCKED
from regild.image.paths import MountedTree
from regild.image.tree import Mount
from regild.image.units import discovered, read_units
from regild.image.volumes import Volume
from regild.model.content import Unknown


def with_names(tree: MountedTree, volumes: Sequence[Volume]) -> tuple[Volume, ...]:
    """The volumes, with the names that the guest's crypttab gives to what it unlocks."""
    try:
        text = tree.read("/etc/crypttab", MAX_FSTAB_BYTES).decode("utf-8", "replace")
    except RegildError:
        return tuple(volumes)
    names: dict[int, str] = {}
    for line in text.splitlines()[:MAX_MOUNTS]:
        fields = line.split()
        if len(fields) >= 2 and not fields[0].startswith("#"):
            found = find_volume(fields[1], volumes)
            if found is not None:
                names.setdefault(FIRST_UNLOCKED + found.number, fields[0])
    return tuple(
        replace(volume, device=names[volume.number]) if volume.number in names else volume
        for volume in volumes
    )


def mounted(
    tree: MountedTree,
    root: Filesystem,
    opened: dict[int, Filesystem],
    volumes: Sequence[Volume],
) -> tuple[list[Mount], list[Unknown]]:
    """Mount what the guest's fstab and units name; what of it is not on this disk is unknown."""
    mounts = [_mount("/", root)]
    missing: list[Unknown] = []
    for line in _lines(tree, volumes, missing):
        if line.bound:
            missing.extend(_bound(tree, line))
            continue
        volume = find_volume(line.spec, volumes)
        filesystem = opened.get(volume.number) if volume else None
        if filesystem is not None and line.subvolume and line.path != "/":
            missing.extend(_subvolume(tree, line, filesystem, mounts))
            continue
        why = _why_not(line, volume, filesystem, root)
        if why and (line.needed or volume is not None):
            missing.append(Unknown(line.path, why))
        elif not why and filesystem is not None and filesystem.volume is not root.volume:
            tree.mount(line.path, filesystem)
            mounts.append(_mount(line.path, filesystem))
    return mounts, missing


def _mount(path: str, filesystem: Filesystem) -> Mount:
    volume, number = filesystem.volume, filesystem.subvolume_number
    return Mount(path, volume, _kind(volume), number, filesystem.path if number else "")


def _lines(tree: MountedTree, volumes: Sequence[Volume], missing: list[Unknown]) -> list[Line]:
    """All that the guest mounts, parents before children; what cannot be read is `missing`."""
    units, unknowns = read_units(tree)
    missing += unknowns
    lines = [line for line in units if line.counts]
    taken = {line.path for line in lines}
    try:
        lines += [line for line in fstab_lines(tree) if line.path not in taken]
        taken |= {line.path for line in lines}
    except RegildError as error:
        missing.append(Unknown("/etc/fstab", str(error)))
    try:
        lines += discovered(tree, volumes, taken)
    except RegildError as error:
        missing.append(Unknown("the partitions' types", str(error)))
    return sorted(lines, key=lambda line: line.path.rstrip("/").count("/"))


def _kind(volume: Volume) -> str:
    """The filesystem's name, and the layer that it lies in."""
    return f"{volume.filesystem} on {volume.layer}" if volume.layer else volume.filesystem


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
    mounts.append(_mount(line.path, found))
    return []


def _bound(tree: MountedTree, line: Line) -> list[Unknown]:
    try:
        tree.bind(line.path, line.spec)
    except RegildError as error:
        return [Unknown(line.path, f"it shows {line.spec}, and {error}")]
    return []


def fstab_lines(tree: MountedTree) -> list[Line]:
    """The lines of the guest's fstab that count, parents before children.

    Raises: UnsupportedFilesystem when there are too many, and the errors of the tree.
    """
    try:
        content = tree.read("/etc/fstab", MAX_FSTAB_BYTES)
    except MissingFile:
        return []
    lines = [line for line in read_fstab(content.decode("utf-8", "replace")) if line.counts]
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
