"""What stands in for the first program of a guest that has no systemd: its own initial RAM disk
mounts its root, and in place of the guest's init the plan's script is run.

mkinitfs' init (Alpine) ends by `switch_root`, which is a program of its RAM disk. A second archive
behind the first, which the kernel unpacks over it, holds another one. Nothing is put into the
guest; no service of its is started.
Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux (newc), initramfs-init
of mkinitfs 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from regild.change.boot_script import SCRIPT
from regild.change.script import PLACE
from regild.errors import InputError
from regild.image.tree import Tree

MAKERS: Final = ("/usr/share/mkinitfs/initramfs-init", "/share/mkinitfs/initramfs-init")
"""The init of mkinitfs, where it lies in a guest that has it."""

_INSIDE: Final = f"""\
mount -o remount,rw /
mount -a
mountpoint -q /run || mount -t tmpfs tmpfs /run
mkdir -p {PLACE}
mount -t ext4 -o ro /dev/vdb {PLACE}
exec /bin/sh {PLACE}/{SCRIPT}
"""

PROGRAM: Final = f"""\
#!/bin/sh
# The plan's commands instead of what the guest would start, and then the machine is switched off.
[ "$1" != -c ] || shift 2
chroot "$1" /bin/sh -c '{_INSIDE}'
kill -9 -1
mount -t proc proc /proc
sync
for place in $(cut -d " " -f 2 /proc/mounts | grep "^$1" | sort -r); do
    umount "$place" || mount -o remount,ro "$place"
done
poweroff -f || echo o >/proc/sysrq-trigger
"""
"""It stays outside of the guest's root: a filesystem of which a program runs that was replaced can
neither be let go of nor be mounted read only."""


def has_one(tree: Tree, places: Iterable[str]) -> bool:
    """Whether one of some files is in a guest, as far as that can be read."""
    for place in places:
        try:
            if tree.find(place):
                return True
        except InputError:
            continue
    return False


def with_program(initrd: bytes) -> bytes:
    """An initial RAM disk that ends in the plan's script and not in the guest's init."""
    return initrd + bytes(-len(initrd) % 512) + _archive({"sbin/switch_root": PROGRAM.encode()})


def _archive(files: dict[str, bytes]) -> bytes:
    """Programs as an archive of cpio, in the form that the kernel unpacks."""
    out = bytearray()
    for number, (name, content) in enumerate({**files, "TRAILER!!!": b""}.items(), 1):
        mode = 0o100755 if content else 0
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        for piece in (head + name.encode() + b"\0", content):
            out += piece + bytes(-len(piece) % 4)
    return bytes(out)
