"""What a guest's boot loader offers: the menu of GRUB (`grub.cfg`) and the entries of the Boot
Loader Specification (`loader/entries/*.conf`).

A menu is a program; only its plain lines are read, nothing in it is run. Kernel options are left
out, since they may hold secrets, but for the root.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from regild.describe.evidence import Unreadable, unknown
from regild.errors import Malformed, MissingFile, TooLarge
from regild.image.tree import Tree
from regild.model.content import BootEntry, Unknown

MENUS = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
ENTRIES = ("/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries")

MENU_LIMIT = 1 << 20
ENTRY_LIMIT = 64 << 10
ENTRIES_LIMIT = 500
TITLE_LIMIT = 300

_TITLE = re.compile(r"""menuentry\s+(?:'([^']{0,300})'|"([^"]{0,300})"|([^\s'"{]{1,300}))""")
_LINUX = re.compile(r"""linux(?:16|efi)?\s+["']?([^\s"'$;]{1,300})""")
_INITRD = re.compile(r"""initrd(?:16|efi)?\s+["']?([^\s"'$;]{1,300})""")
_ROOT = re.compile(r"""\sroot=["']?([A-Za-z0-9=/_.:-]{1,200})""")
_FIELD = re.compile(r"(title|version|linux|efi|initrd|options)[ \t]+(.{1,2000})")
_KERNEL = re.compile(r"(?:vmlinuz|vmlinux|Image|linux|bzImage)-([0-9][A-Za-z0-9.+~_-]{0,120})")


class BootMenu(NamedTuple):
    """All entries in the order of their files, and what could not be read."""

    entries: tuple[BootEntry, ...]
    unknowns: tuple[Unknown, ...]


def read_boot(tree: Tree) -> BootMenu:
    """The entries that the guest's boot loader offers; none where it has no known loader."""
    entries: list[BootEntry] = []
    unknowns: list[Unknown] = []
    for path, found in (
        *((path, _menu(tree, path)) for path in MENUS),
        *((path, _specified(tree, path)) for path in ENTRIES),
    ):
        try:
            for entry in found:
                if len(entries) >= ENTRIES_LIMIT:
                    raise TooLarge(where=path, why=f"there are more than {ENTRIES_LIMIT} entries")
                entries.append(entry)
        except MissingFile:
            continue
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    return BootMenu(tuple(dict.fromkeys(entries)), tuple(unknowns))


def _menu(tree: Tree, path: str) -> Iterator[BootEntry]:
    """An entry for each kernel that follows a `menuentry`; those that load no Linux are none."""
    title = ""
    entry: BootEntry | None = None
    for line in _text(tree, path, MENU_LIMIT).split("\n"):
        words = line.strip()
        if named := _TITLE.match(words):
            title = next(filter(None, named.groups()), "")
        elif title and (kernel := _LINUX.match(words)):
            if entry:
                yield entry
            version = _version(tree, kernel[1])
            entry = BootEntry(title, kernel[1], version, path, root=_root(words))
            title = ""
        elif entry and not entry.initrd and (initrd := _INITRD.match(words)):
            entry = replace(entry, initrd=initrd[1])
    if entry:
        yield entry


def _specified(tree: Tree, folder: str) -> Iterator[BootEntry]:
    for name in tree.names(folder):
        if not name.endswith(".conf"):
            continue
        path = f"{folder}/{name}"
        lines = _text(tree, path, ENTRY_LIMIT).split("\n")
        fields = {found[1]: found[2].strip() for line in lines if (found := _FIELD.match(line))}
        kernel = fields.get("linux") or fields.get("efi", "")
        if not kernel:
            raise Malformed(where=path, why="it names nothing to boot")
        version = fields.get("version") or _version(tree, kernel)
        title = fields.get("title", "")
        initrd = fields.get("initrd", "").partition(" ")[0]
        root = _root(" " + fields.get("options", ""))
        yield BootEntry(title[:TITLE_LIMIT], kernel[:TITLE_LIMIT], version, path, initrd, root)


def _root(options: str) -> str:
    """The device that the kernel's options name as its root; all others are left out."""
    found = _ROOT.search(options)
    return found[1] if found else ""


def _text(tree: Tree, path: str, limit: int) -> str:
    return tree.read(path, limit).decode(errors="replace")


def _version(tree: Tree, kernel: str) -> str:
    """The version in a kernel's name, or in that of the file it is a link to; /boot may be a
    volume of its own, and then paths begin there."""
    for path in (kernel, f"/boot{kernel}"):
        if named := _KERNEL.fullmatch(posixpath.basename(path)):
            return named[1]
        try:
            node = tree.find(posixpath.normpath("/" + path.lstrip("/")))
        except Unreadable:
            continue
        if node and (named := _KERNEL.fullmatch(posixpath.basename(node.target))):
            return named[1]
    return ""
