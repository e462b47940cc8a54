"""Whether a plan is allowed and has room; pure. Each violation is an error of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from regild.errors import (
    DiskTooSmall,
    MethodRefused,
    NewPackageRefused,
    NotInstalled,
    PlanTooLarge,
    RemovalRefused,
)
from regild.model.content import Content, VolumeSpace
from regild.model.plan import Plan, Room, Step
from regild.plan.wishes import Policy, Wishes

IMAGE = "the image"
KERNEL_BOOT_BYTES = 96 << 20
"""Room in /boot for a new kernel. Measured on a bare Debian 12 (6.1.0-50, initramfs-tools 0.142
with zstd, drivers for most machines): linux-image-amd64 puts 8.2 MB of kernel, 29.4 MB of initial
RAM disk and 0.3 MB of other files there, linux-image-cloud-amd64 14.1, 12.5 and 0.1 MB. A RAM disk
that is made anew stands beside the old one for a moment: 67 MB. The rest is for hooks and firmware
that a guest has besides. Modules (406 and 94 MB) lie below /usr: the package states their size."""

KERNELS = ("linux-image-[0-9]*", "kernel", "kernel-core", "kernel-default")
FILE_KIB = 4
"""KiB of Installed-Size for one file or folder of a new package: three quarters of the packages of
a Debian 12 machine have more (1,125 packages, median 10, mean 32)."""


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether a package's name is among some names and patterns of a shell."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def expand(patterns: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The names that patterns fit, sorted."""
    wanted = tuple(patterns)
    return tuple(sorted({name for name in names if fits(name, wanted)}))


def check_names(wishes: Wishes, content: Content) -> None:
    """Refuse a wish about a package that the image does not have.

    Raises: NotInstalled.
    """
    names = {one.name for one in content.packages} | {one.recipe for one in content.applications}
    for option in ("hold", "only", "exclude"):
        for pattern in getattr(wishes, option):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise NotInstalled(where=IMAGE, why=f"it has no package {pattern}", option=option)


def check_plan(plan: Plan, policy: Policy) -> None:
    """Hold a plan against what is allowed.

    Raises: RemovalRefused, NewPackageRefused, MethodRefused, PlanTooLarge.
    """
    removed = [step.name for step in plan.steps if step.action == "remove"]
    if refused := [name for name in removed if fits(name, policy.keep)]:
        raise RemovalRefused(where=IMAGE, why=f"it would remove {_listed(refused)}")
    fresh = [step.name for step in plan.steps if step.action == "install"]
    if policy.new is not None and (refused := [one for one in fresh if not fits(one, policy.new)]):
        raise NewPackageRefused(where=IMAGE, why=f"it would bring in {_listed(refused)}")
    if refused := [step.name for step in plan.steps if step.method not in policy.methods]:
        method = next(step.method for step in plan.steps if step.method not in policy.methods)
        why = f"{_listed(refused)} would be changed by the method {method}"
        raise MethodRefused(where=IMAGE, why=why)
    for what, found, limit in (
        ("fetch", plan.download_bytes, policy.download_limit),
        ("grow by", plan.disk_bytes, policy.growth_limit),
    ):
        if limit is not None and found > limit:
            why = f"it would {what} {found:,} bytes of {limit:,} allowed"
            raise PlanTooLarge(where=IMAGE, why=why)


def rooms(content: Content, steps: Iterable[Step], sizes: dict[Step, int]) -> tuple[Room, ...]:
    """What each of the image's volumes needs and has, from the packages' stated sizes.

    `sizes` is the bytes that each step's package grows by. Files go below /usr, where nearly all
    of a package lies; a kernel and its initial RAM disk go to /boot. While a package is unpacked
    its new files lie beside the old ones, so the largest one comes on top.
    """
    steps = tuple(steps)
    kernels = [one for one in steps if one.action == "install" and fits(one.name, KERNELS)]
    growth = sum(sizes.get(one, 0) for one in steps)
    largest = max((abs(sizes.get(one, 0)) for one in steps if one.action != "remove"), default=0)
    fresh = sum(max(0, sizes.get(one, 0)) for one in steps if one.action == "install")
    found: dict[str, tuple[int, int]] = {}
    for path, size, files in (
        ("/usr", max(0, growth + largest), fresh // 1024 // FILE_KIB),
        ("/boot", len(kernels) * KERNEL_BOOT_BYTES, 4 * len(kernels)),
    ):
        if (space := volume_of(path, content.volumes)) is not None:
            before = found.get(space.mount, (0, 0))
            found[space.mount] = (before[0] + size, before[1] + files)
    return tuple(
        _room(space, *found[space.mount]) for space in content.volumes if space.mount in found
    )


def _room(space: VolumeSpace, size: int, files: int) -> Room:
    free = max(0, space.free_blocks - space.reserved_blocks) * space.block_bytes
    return Room(space.mount, size, free, files, space.free_inodes)


def volume_of(path: str, volumes: Iterable[VolumeSpace]) -> VolumeSpace | None:
    """The volume that a path of the guest lies on; None where none is known."""
    fitting = [one for one in volumes if f"{path}/".startswith(one.mount.rstrip("/") + "/")]
    return max(fitting, key=lambda one: len(one.mount), default=None)


def check_room(rooms: Iterable[Room]) -> None:
    """Refuse a plan that does not fit.

    Raises: DiskTooSmall, naming the volume.
    """
    for room in rooms:
        if room.needed_bytes > room.free_bytes:
            why = f"{room.needed_bytes:,} bytes are needed, {room.free_bytes:,} are free"
            raise DiskTooSmall(where=room.mount, why=why)
        if room.needed_inodes > room.free_inodes:
            why = f"{room.needed_inodes:,} inodes are needed, {room.free_inodes:,} are free"
            raise DiskTooSmall(where=room.mount, why=why)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_first(tuple(names)))


def _first(names: tuple[str, ...]) -> Iterator[str]:
    yield from names[:5]
    if len(names) > 5:
        yield f"{len(names) - 5} more"
