"""The guest's filesystems as the change room wants them: where each lies, and who can write it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from regild.change.kernel import CHECKERS
from regild.change.start import check_start
from regild.change.tree import Part
from regild.errors import CannotBoot
from regild.host.run import find_tool
from regild.host.uml import require_kernel
from regild.image.tree import Guest, Mount
from regild.model.content import VolumeSpace
from regild.model.plan import Plan

TOP_SUBVOLUME = 5
HIDDEN = (" on LUKS", " on LVM")
"""How a mount's filesystem is called whose bytes cannot be told on the disk."""
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._@-]{1,1000}")


def parts_of(guest: Guest) -> tuple[Part, ...]:
    """The guest's filesystems, each with its place on the disk and the room that it has."""
    spaces = {space.mount: space for space in guest.spaces}
    parts = []
    for mount in guest.mounts:
        volume, space = mount.volume, spaces.get(mount.path)
        part = Part(
            mount.path,
            volume.offset,
            volume.bytes,
            _filesystem(mount),
            f"UUID={volume.uuid}",
            places=volume.places,
            device=f"/dev/mapper/{volume.device}" if volume.layer == "LVM" else "",
            options=f"subvolid={mount.subvolume}" if mount.subvolume else "",
            prefix=f"/{mount.subvolume_path.strip('/')}" if mount.subvolume_path else "",
        )
        parts.append(replace(part, **_room(space)) if space else part)
    return tuple(parts)


def check_writers(guest: Guest, plan: Plan) -> None:
    """Pass where all that the plan's carrier and the writers of the guest's filesystems need is
    installed.

    Raises: ToolMissing, naming the package to install; CannotBoot where a guest that is to be
    booted would take no orders, or its changes of a volume could not be taken over.
    """
    if plan.carrier == "boot":
        check_start(guest)
    if plan.carrier == "uml":
        require_kernel("to run the guest's programs in a kernel of their own")
    for part in parts_of(guest):
        hidden = not part.writable and part.filesystem.endswith(HIDDEN)
        if (part.by_kernel or hidden) and plan.carrier == "boot":
            why = f"what it changes on {part.filesystem} is not taken over, and {plan.carrier_why}"
            raise CannotBoot(where=f"a guest with {part.mount} on {part.filesystem}", why=why)
        if part.by_kernel:
            require_kernel(f"to change {part.filesystem} filesystems")
            tool, *_ = CHECKERS[part.filesystem]
            find_tool(tool, f"to check {part.filesystem} filesystems")


def _filesystem(mount: Mount) -> str:
    """The filesystem's name; one that nobody can write is called so that none is taken for it."""
    volume = mount.volume
    if not volume.on_disk:
        return mount.filesystem
    if volume.filesystem == "btrfs" and not _is_named(mount):
        return "btrfs (a folder, or a subvolume without a plain name)"
    return volume.filesystem


def _is_named(mount: Mount) -> bool:
    """Whether the kernel and a boot loader can be told which subvolume of btrfs it is."""
    path = mount.subvolume_path
    return mount.subvolume == TOP_SUBVOLUME or bool(
        mount.subvolume and PLAIN_PATH.fullmatch(path) and not path.isdigit()
    )


def _room(space: VolumeSpace) -> dict[str, int]:
    """What a filesystem has free, by the names of a part's fields."""
    names = ("free_blocks", "reserved_blocks", "free_inodes", "block_bytes")
    return {name: getattr(space, name) for name in names}
