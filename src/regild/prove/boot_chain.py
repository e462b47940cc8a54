"""Whether what the machine boots with is whole: menu, kernel, modules, initial RAM disk and root
agree.

Every entry of the boot menu is followed as the boot loader and then the kernel would, by reading
alone. Source: Documentation/arch/x86/boot.rst of Linux (`kernel_version`), update-initramfs(8),
grub.cfg as grub-mkconfig writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.errors import InputError, UnsupportedError
from regild.image.tree import Guest, Tree
from regild.model.content import BootEntry
from regild.prove.initramfs import read_names
from regild.prove.scene import walk

KERNEL_MAX = 256 << 20
INITRD_MAX = 1 << 30
LIST_MAX = 32 << 20
ENTRIES_MAX = 20
"""So many entries are followed, from the first; a menu holds two or three for each kernel."""

_VERSION = re.compile(rb"[0-9][A-Za-z0-9.+~_-]{0,120}")
_MODULES = ("lib/modules", "usr/lib/modules")
_MODULE = re.compile(r"\.ko(\.(gz|xz|zst))?$")


def check_boot_chain(guest: Guest, entries: tuple[BootEntry, ...]) -> tuple[str, ...]:
    """What is wrong with the ways in which a guest boots, a sentence each; none: all are whole.

    A guest without a boot menu has nothing to check here: whoever starts it brings the kernel.
    """
    wrong: dict[str, None] = {}
    ways = {(one.kernel, one.initrd, one.root): one for one in reversed(entries[:ENTRIES_MAX])}
    for entry in reversed(ways.values()):
        for sentence in _faults(guest, entry):
            wrong[f"the boot menu's {entry.title or entry.kernel!r}: {sentence}"] = None
    return tuple(wrong)


def _faults(guest: Guest, entry: BootEntry) -> Iterator[str]:
    kernel = _find(guest, entry.kernel)
    if kernel is None:
        yield f"there is no kernel {entry.kernel}"
        return
    try:
        version = _kernel_version(guest.tree.read(kernel, KERNEL_MAX))
    except (InputError, UnsupportedError) as error:
        yield f"its kernel cannot be read: {error}"
        return
    if version and entry.version and version != entry.version:
        yield f"{entry.kernel} is Linux {version}, not {entry.version}"
    version = version or entry.version
    if version:
        yield from _module_faults(guest.tree, version)
    if entry.initrd:
        yield from _initrd_faults(guest, entry.initrd, version)
    yield from _root_faults(guest, entry.root)


def _find(guest: Guest, path: str) -> str | None:
    """A file that a boot loader names from the root of its own volume, as the guest names it."""
    for place in ("", "/boot", "/boot/efi", "/efi"):
        try:
            node = guest.tree.find(f"{place}/{path.lstrip('/')}")
        except InputError:
            continue
        if node is not None:
            return f"{place}/{path.lstrip('/')}"
    return None


def _kernel_version(content: bytes) -> str:
    """What an x86 kernel says it is; empty for other kinds, which have no such place."""
    if content[0x202:0x206] != b"HdrS":
        return ""
    at = int.from_bytes(content[0x20E:0x210], "little") + 0x200
    found = _VERSION.match(content, at)
    return found[0].decode() if found else ""


def _module_faults(tree: Tree, version: str) -> Iterator[str]:
    """Modules are there, and depmod has listed exactly those; unless the kernel has none at all."""
    for folder in _MODULES:
        place = f"/{folder}/{version}"
        if _quietly(tree, f"{place}/modules.dep"):
            yield from _list_faults(tree, place)
            return
    yield f"there are no modules of Linux {version}, or depmod has not listed them"


def _list_faults(tree: Tree, place: str) -> Iterator[str]:
    """Modules that the list names and are not there, and the other way round; the first of each."""
    text = tree.read(f"{place}/modules.dep", LIST_MAX).decode(errors="replace")
    listed = {line.partition(":")[0] for line in text.splitlines() if ":" in line}
    held = {
        path.removeprefix(f"{place}/")
        for path, node in walk(tree, place)
        if _MODULE.search(path) and node.kind == "file"
    }
    for name in sorted(listed - held)[:1]:
        yield f"depmod's list names {name}, which is not there"
    for name in sorted(held - listed)[:1]:
        yield f"depmod's list does not name {name}"


def _quietly(tree: Tree, path: str) -> bool:
    try:
        node = tree.find(path)
    except InputError:
        return False
    return node is not None and node.bytes > 0


def _initrd_faults(guest: Guest, initrd: str, version: str) -> Iterator[str]:
    """The initial RAM disk is there, whole, of this kernel, and can mount the root."""
    place = _find(guest, initrd)
    if place is None:
        yield f"there is no initial RAM disk {initrd}"
        return
    try:
        names = read_names(guest.tree.read(place, INITRD_MAX), initrd)
    except UnsupportedError:
        return  # a compression that is not read here; that it is there is all that can be said
    except InputError as error:
        yield f"its initial RAM disk is damaged: {error}"
        return
    if version and not any(f"{folder}/{version}" in names for folder in _MODULES):
        yield f"{initrd} holds no modules of Linux {version}"
    if not {"init", "usr/bin/init", "sbin/init"} & names:
        yield f"{initrd} holds nothing to begin with"
    root = guest.mounts[0].volume
    if version and not _has_driver(guest.tree, names, version, root.filesystem):
        yield f"{initrd} cannot mount a root on {root.filesystem}"
    if root.layer == "LVM" and version:
        able = {"sbin/lvm", "usr/sbin/lvm"} & names
        if not able or not _has_driver(guest.tree, names, version, "dm-mod"):
            yield f"{initrd} cannot put together the volumes of LVM"


def _has_driver(tree: Tree, names: frozenset[str], version: str, driver: str) -> bool:
    """A driver is a module in the RAM disk, or built into the kernel."""
    module = re.compile(rf".*/{re.escape(driver)}\.ko(\.[a-z0-9]+)?")
    if any(f"modules/{version}/" in name and module.fullmatch(name) for name in names):
        return True
    for folder in _MODULES:
        try:
            built_in = tree.read(f"/{folder}/{version}/modules.builtin", LIST_MAX)
        except (InputError, UnsupportedError):
            continue
        return f"/{driver}.ko".encode() in built_in
    return False


def _root_faults(guest: Guest, root: str) -> Iterator[str]:
    """What the kernel is told to mount is the volume that holds the guest."""
    kind, _, wanted = root.partition("=")
    own = guest.mounts[0].volume
    if kind == "UUID" and wanted.lower() != own.uuid.lower():
        yield f"it mounts {root}, and the guest lies on UUID={own.uuid}"
    if kind == "LABEL" and wanted != own.label:
        yield f"it mounts {root}, and the guest lies on LABEL={own.label}"
    if root.startswith("/dev/mapper/") and own.device and root != f"/dev/mapper/{own.device}":
        yield f"it mounts {root}, and the guest lies on /dev/mapper/{own.device}"
