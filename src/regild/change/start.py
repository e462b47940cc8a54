"""With which kernel a guest is booted to acquire changes, and what that kernel is told.

The kernel and its initial RAM disk are read out of the image, and the machine starts with them:
GRUB would only cost time. Nothing is put into the guest: systemd takes the commands from the
kernel's command line, and the same line leaves out what would leave traces of this one boot.
Source: systemd-run-generator(8), systemd(1) (kernel command line), kernel-command-line(7);
measured on Debian 11 to 13, docs/adr/0054.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from regild.change.boot_script import SCRIPT
from regild.change.script import PLACE
from regild.errors import InputError, UnsupportedError
from regild.image.tree import Guest, Tree
from regild.model.content import BootEntry, Value

KERNEL_MAX: Final = 256 << 20
INITRD_MAX: Final = 1 << 30
GENERATORS: Final = tuple(
    f"{place}/systemd/system-generators/systemd-run-generator" for place in ("/lib", "/usr/lib")
)

LEFT_OUT: Final = (
    "apparmor.service",
    "networking.service",
    "systemd-firstboot.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-networkd.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
)
"""Units that would only leave traces of this boot, or wait for what is not there."""

_PLAIN = re.compile(r"[A-Za-z0-9=/_.:+-]{1,200}")


class Start(Value, frozen=True):
    """Where the kernel and its initial RAM disk lie on this machine, and the root it mounts."""

    kernel: str
    initrd: str
    root: str
    name: str
    """The kernel's path in the guest."""


def read_start(guest: Guest, entries: Iterable[BootEntry], folder: Path) -> Start:
    """Read what the guest boots with into a folder: the first entry of its boot menu that is there.

    Raises: UnsupportedError where none is, or where no systemd would take the commands.
    """
    tree = guest.tree
    if not _takes_commands(tree):
        why = "it is not started by a systemd that takes commands from the kernel's command line"
        raise UnsupportedError(where="the booted guest", why=why)
    own = f"UUID={guest.mounts[0].volume.uuid}"
    for kernel, initrd, root in _ways(tree, entries):
        try:
            content = tree.read(kernel, KERNEL_MAX)
            memory = tree.read(initrd, INITRD_MAX) if initrd else b""
        except InputError:
            continue
        (folder / "kernel").write_bytes(content)
        (folder / "initrd").write_bytes(memory)
        told = root if _PLAIN.fullmatch(root) else own
        return Start(str(folder / "kernel"), str(folder / "initrd"), told, kernel)
    raise UnsupportedError(where="the booted guest", why="no kernel was found that it could start")


def kernel_options(root: str, machine_id: str) -> str:
    """The kernel's command line: it mounts the root, runs the script, and powers off."""
    options = [f"root={root}", "ro", "console=ttyS0,115200", "fsck.mode=skip", "panic=-1"]
    options += ["systemd.condition-needs-update=0", "systemd.condition-first-boot=0"]
    options += [f"systemd.machine_id={machine_id}", "systemd.show_status=1"]
    options += [f"systemd.mask={unit}" for unit in LEFT_OUT]
    options += ["systemd.run_success_action=poweroff", "systemd.run_failure_action=poweroff"]
    for command in (
        f"/bin/mkdir -p {PLACE}",
        f"/bin/mount -t ext4 -o ro /dev/vdb {PLACE}",
        f"/bin/sh {PLACE}/{SCRIPT}",
    ):
        options.append(f'systemd.run="{command}"')
    return " ".join(options)


def _takes_commands(tree: Tree) -> bool:
    """Whether the program that turns the kernel's command line into a unit is there."""
    for place in GENERATORS:
        try:
            if tree.find(place):
                return True
        except InputError:
            continue
    return False


def _ways(tree: Tree, entries: Iterable[BootEntry]) -> Iterator[tuple[str, str, str]]:
    """Kernel, initial RAM disk and root: as the menu has them, else as Debian names them."""
    for entry in entries:
        for place in ("", "/boot"):
            kernel = f"{place}/{entry.kernel.lstrip('/')}"
            initrd = f"{place}/{entry.initrd.lstrip('/')}" if entry.initrd else ""
            yield kernel, initrd, entry.root
    yield "/vmlinuz", "/initrd.img", ""
    try:
        names = [name for name in tree.names("/boot") if name.startswith("vmlinuz-")]
    except InputError:
        names = []
    for name in sorted(names, reverse=True):
        version = name.removeprefix("vmlinuz-")
        yield f"/boot/{name}", f"/boot/initrd.img-{version}", ""
        yield f"/boot/{name}", f"/boot/initramfs-{version}.img", ""
