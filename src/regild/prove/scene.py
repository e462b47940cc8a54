"""What the static proof looks at: the guest, and as far as they are known, what it was before, the
plan, the package files, and what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from regild.errors import InputError, MissingFile, TooLarge, UnsupportedError
from regild.feeds.shipped import ShippedPackage
from regild.image.tree import Guest, Node, Tree
from regild.model.content import Application, BootEntry, Content, Package
from regild.model.digest import Digest
from regild.model.plan import Difference
from regild.prove.apk_database import ApkFiles, read_apk_files
from regild.prove.dpkg_files import DpkgFiles, read_dpkg_files
from regild.prove.rpm_database import RpmFiles

UNREADABLE = (InputError, UnsupportedError)
"""What a damaged image makes of a question; the answer is then that it cannot be read."""
PIECE_BYTES = 64 << 20
"""Of a file that is held in memory at once."""


@dataclass(frozen=True)
class Scene:
    """One guest to be proven."""

    guest: Guest
    content: Content
    """What was described of it."""
    boot: tuple[BootEntry, ...] = ()
    """The choices of its boot menu."""
    before: Guest | None = None
    """The guest as it was before the change; None where there is nothing to compare with."""
    boot_before: tuple[BootEntry, ...] = ()
    expected: tuple[Package, ...] | None = None
    """The packages that were promised."""
    applications: tuple[Application, ...] | None = None
    """The applications that were promised; None where no recipe spoke of any."""
    shipped: tuple[ShippedPackage, ...] | None = None
    """What the plan's package files hold."""
    rpm: RpmFiles | None = None
    """What is known of packages of rpm; None where the guest has no database of rpm."""
    touched: tuple[Difference, ...] | None = None
    """What differs from before and is not on record (`regild.prove.touched`)."""
    filesystems: tuple[Difference, ...] | None = None
    """What e2fsck finds, where it was asked."""
    unasked: str = ""
    """Why e2fsck was not asked."""
    seal: tuple[str, ...] = ()
    """What the plan had cleared."""
    changed: frozenset[str] | None = None
    """The paths on record; None where there is no record."""

    @property
    def tree(self) -> Tree:
        """The guest's files."""
        return self.guest.tree

    @cached_property
    def dpkg(self) -> DpkgFiles | None:
        """The package database's word on files."""
        return read_dpkg_files(self.guest.tree)

    @cached_property
    def apk(self) -> ApkFiles | None:
        """The same of apk's database."""
        return read_apk_files(self.guest.tree)

    @cached_property
    def apk_before(self) -> ApkFiles | None:
        """The same before the change."""
        return read_apk_files(self.before.tree) if self.before else None

    @cached_property
    def dpkg_before(self) -> DpkgFiles | None:
        """The same before the change."""
        return read_dpkg_files(self.before.tree) if self.before else None


def find_node(tree: Tree, path: str) -> Node | None:
    """What stands at a path; None also where the way there is damaged or no folder."""
    try:
        return tree.find(path)
    except UNREADABLE:
        return None


def find_content(tree: Tree, path: str, limit: int) -> bytes | None:
    """A file's bytes; None where there is no file.

    Raises: Malformed, TooLarge.
    """
    try:
        return tree.read(path, limit)
    except MissingFile:
        return None


def digest_at(tree: Tree, path: str, limit: int) -> Digest | str:
    """The digest of a file's content, or why there is none."""
    try:
        return Digest(f"sha256:{sum_at(tree, path, limit)}")
    except UNREADABLE as error:
        return str(error)


def sum_at(tree: Tree, path: str, limit: int, algorithm: str = "sha256") -> str:
    """The sum of a file's content in hexadecimal digits; a large file is held in parts.

    Raises: as `Tree.read`.
    """
    found, done = hashlib.new(algorithm, usedforsecurity=False), 0
    try:
        found.update(tree.read(path, min(limit, PIECE_BYTES)))
        return found.hexdigest()
    except TooLarge:
        if limit <= PIECE_BYTES:
            raise
    while piece := tree.part(path, done, PIECE_BYTES):
        found.update(piece)
        done += len(piece)
        if done > limit:
            raise TooLarge(where=path, why=f"it holds more than the {limit} bytes allowed")
    return found.hexdigest()


def names_in(tree: Tree, path: str) -> tuple[str, ...]:
    """The names in a folder; none where there is no folder."""
    try:
        return tree.names(path)
    except UNREADABLE:
        return ()


def walk(tree: Tree, top: str, left: int = 2_000_000) -> Iterator[tuple[str, Node]]:
    """Every path below a folder that is no link, at most `left`."""
    waiting = [top.rstrip("/")]
    while waiting:
        folder = waiting.pop()
        for name in names_in(tree, folder or "/"):
            left -= 1
            node = find_node(tree, f"{folder}/{name}")
            if left < 0 or node is None:
                continue
            yield f"{folder}/{name}", node
            if node.kind == "directory":
                waiting.append(f"{folder}/{name}")
