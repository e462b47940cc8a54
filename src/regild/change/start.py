"""With which kernel a guest is booted to acquire changes, and what that kernel is told.

The kernel and its initial RAM disk are read out of the image, and the machine starts with them:
GRUB would only cost time. Nothing is put into the guest: systemd takes the commands from the
kernel's command line, and the same line leaves out what would leave traces of this one boot; in
a guest of Alpine the initial RAM disk runs them (`regild.change.first_program`).
Source: systemd-run-generator(8), systemd(1) (kernel command line), kernel-command-line(7);
measured on Debian 11 to 13, docs/adr/0054.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from regild.change.boot_script import SCRIPT
from regild.change.first_program import MAKERS, has_one, with_program
from regild.change.script import PLACE
from regild.errors import CannotBoot, InputError
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

ENTRY_SUFFIX: Final = ".conf"
ENVIRONMENTS: Final = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
FILE_MAX: Final = 64 << 10
OPTIONS_MAX: Final = 4096
"""More than a kernel takes (COMMAND_LINE_SIZE of x86 is 2048)."""
_RUNS = re.compile(r"\d+|\D+")
_PLAIN = re.compile(r"[A-Za-z0-9=/_.:+-]{1,200}")


class Start(Value, frozen=True):
    """Where the kernel and its initial RAM disk lie on this machine, and the root it mounts."""

    kernel: str
    initrd: str
    root: str
    name: str
    """The kernel's path in the guest."""
    options: str = ""
    """What the guest's boot entry tells the kernel, where that is an entry of the Boot Loader
    Specification."""
    filesystem: str = ""
    """The root's, where the initial RAM disk runs the script; empty where systemd does."""


def read_start(guest: Guest, entries: Iterable[BootEntry], folder: Path) -> Start:
    """Read what the guest boots with into a folder: the first entry of its boot menu that is there.

    Raises: CannotBoot where none is, or where nobody would take the commands.
    """
    check_start(guest)
    tree, volume = guest.tree, guest.mounts[0].volume
    own = f"UUID={volume.uuid}"
    filesystem = "" if has_one(tree, GENERATORS) else volume.filesystem
    for kernel, initrd, root, where in _ways(tree, entries):
        try:
            content = tree.read(kernel, KERNEL_MAX)
            memory = tree.read(initrd, INITRD_MAX) if initrd else b""
        except InputError:
            continue
        (folder / "kernel").write_bytes(content)
        (folder / "initrd").write_bytes(with_program(memory) if filesystem else memory)
        told = root if _PLAIN.fullmatch(root) else own
        files = str(folder / "kernel"), str(folder / "initrd")
        return Start(*files, told, kernel, _own_options(tree, where), filesystem)
    raise CannotBoot(where="the guest", why="no kernel was found in it that could be started")


def check_start(guest: Guest) -> None:
    """Pass where the guest would take its orders; asked before any work.

    Raises: CannotBoot.
    """
    if not has_one(guest.tree, (*GENERATORS, *MAKERS)):
        why = "it is not started by a systemd that takes commands from the kernel's command line"
        raise CannotBoot(where="the guest", why=f"{why}, nor by mkinitfs")


def kernel_options(start: Start, machine_id: str) -> str:
    """The kernel's command line: it mounts the root, runs the script, and powers off."""
    options = [f"root={start.root}", "ro", "console=ttyS0,115200", "fsck.mode=skip", "panic=-1"]
    if start.filesystem:
        return " ".join([*options, f"rootfstype={start.filesystem}"])
    # A drive without labels could not be run from where SELinux insists on them.
    options += ["enforcing=0"]
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


def _ways(tree: Tree, entries: Iterable[BootEntry]) -> Iterator[tuple[str, str, str, str]]:
    """Kernel, initial RAM disk, root, and the file that says so: as the menu has them, else as
    Debian names them. Of the entries that have a file each the newest kernel's comes first, as
    their boot loaders start it."""
    given = tuple(entries)
    filed = [one for one in given if one.where.endswith(ENTRY_SUFFIX)]
    filed.sort(key=lambda one: _age(one.version), reverse=True)
    for entry in (*filed, *(one for one in given if one not in filed)):
        for place in ("", "/boot"):
            kernel = f"{place}/{entry.kernel.lstrip('/')}"
            initrd = f"{place}/{entry.initrd.lstrip('/')}" if entry.initrd else ""
            yield kernel, initrd, entry.root, entry.where
    yield "/vmlinuz", "/initrd.img", "", ""
    try:
        names = [name for name in tree.names("/boot") if name.startswith("vmlinuz-")]
    except InputError:
        names = []
    for name in sorted(names, reverse=True):
        version = name.removeprefix("vmlinuz-")
        yield f"/boot/{name}", f"/boot/initrd.img-{version}", "", ""
        yield f"/boot/{name}", f"/boot/initramfs-{version}.img", "", ""
        yield f"/boot/{name}", f"/boot/initramfs-{version}", "", ""


def _age(version: str) -> tuple[tuple[int, str], ...]:
    """A kernel's version as it is compared: its numbers as numbers."""
    return tuple((int(one) if one.isdigit() else -1, one) for one in _RUNS.findall(version))


def _own_options(tree: Tree, where: str) -> str:
    """What an entry of the Boot Loader Specification tells the kernel: variables of the boot
    loader that GRUB's own file gives a value have it, others go."""
    if not where.endswith(ENTRY_SUFFIX):
        return ""
    words = [
        known
        for line in _lines(tree, where)
        if line.startswith(("options ", "options\t"))
        for word in line.split()[1:]
        for known in (_values(tree, word[1:]) if word.startswith("$") else (word,))
    ]
    line = " ".join(words)
    return line if line.isprintable() and len(line) <= OPTIONS_MAX else ""


def _values(tree: Tree, name: str) -> list[str]:
    """The words of a variable of GRUB's (grub-editenv(1))."""
    for place in ENVIRONMENTS:
        for line in _lines(tree, place):
            if line.startswith(f"{name}="):
                return line.removeprefix(f"{name}=").split()
    return []


def _lines(tree: Tree, path: str) -> list[str]:
    try:
        return tree.read(path, FILE_MAX).decode(errors="replace").splitlines()
    except InputError:
        return []
