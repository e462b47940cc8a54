"""What dpkg's database says of files: lists, sums, diversions, overrides, filters, configuration.

Read anew from the guest for the proof, apart from what describing keeps. Source: dpkg(1),
dpkg-divert(1), dpkg-statoverride(1), dpkg.cfg(5) (path-exclude, path-include).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from regild.errors import InputError, MissingFile, TooLarge
from regild.image.tree import Tree
from regild.model.deb822 import read_paragraphs

FOLDER = "/var/lib/dpkg"
INFO = f"{FOLDER}/info"
STATUS_BYTES_MAX = 64 << 20
FILE_BYTES_MAX = 32 << 20
ALL_BYTES_MAX = 1 << 30
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
DRESSING = re.compile(rb"\b(chmod|chown|chgrp|dpkg-statoverride|install|setcap)\b")
FIELDS = ("Package", "Architecture", "Multi-Arch", "Status", "Conffiles")
HERE = (" installed", " unpacked", " half-configured", " triggers-awaited", " triggers-pending")
"""States in which a package's files are there (dpkg(1))."""


@dataclass(frozen=True, slots=True)
class Diversion:
    """A path that is kept for somebody: others' files of this name go elsewhere."""

    to: str
    by: str
    """The package that keeps the path; `:` for the site itself."""


@dataclass(frozen=True)
class DpkgFiles:
    """The database's answers, each read once."""

    tree: Tree
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """How the files of a package (name, architecture) are called in the info folder."""
    config: Mapping[str, str] = field(default_factory=dict)
    """The MD5 of each configuration file as it was shipped."""
    diversions: Mapping[str, Diversion] = field(default_factory=dict)
    overrides: frozenset[str] = frozenset()
    """Paths whose owner and mode the site has set."""
    filters: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @cached_property
    def lists(self) -> dict[str, frozenset[str]]:
        """The paths of every package, by the name of its list.

        Raises: TooLarge.
        """
        found, left = {}, ALL_BYTES_MAX
        for name in self.names.values():
            content = _find(self.tree, f"{INFO}/{name}.list", FILE_BYTES_MAX)
            if content is None:
                continue
            left -= len(content)
            if left < 0:
                raise TooLarge(where=INFO, why=f"its lists take over {ALL_BYTES_MAX >> 20} MiB")
            text = content.decode(errors="surrogateescape")
            found[name] = frozenset(line for line in text.splitlines() if line)
        return found

    def sums(self, name: str) -> Iterator[tuple[str, str]]:
        """A package's files with the MD5 that it came with, as far as it brought any."""
        content = _find(self.tree, f"{INFO}/{name}.md5sums", FILE_BYTES_MAX) or b""
        for line in content.decode(errors="surrogateescape").splitlines():
            digits, _, path = line.partition("  ")
            if path:
                yield "/" + path.lstrip("/"), digits.strip().lower()

    def is_left_out(self, path: str) -> bool:
        """Whether the site's filters keep dpkg from unpacking a path; the last that fits counts."""
        found = False
        for excludes, pattern in self.filters:
            if pattern.match(path):
                found = excludes
        return found

    def place_of(self, path: str, package: str) -> str:
        """Where a package's file of this path really lies."""
        diversion = self.diversions.get(path)
        if diversion is None or diversion.by == package:
            return path
        return diversion.to

    def is_dressed(self, name: str, path: str) -> bool:
        """Whether a maintainer script of a package sets owner or mode of a path: in one line with
        it, or through a variable where the script names the path at all."""
        word = re.compile(
            rb"(?<![\w./-])"
            + re.escape(path.encode("utf-8", "surrogateescape"))
            + rb"(?![\w/-]|\.\w)"
        )
        for script in SCRIPTS:
            text = _find(self.tree, f"{INFO}/{name}.{script}", FILE_BYTES_MAX) or b""
            lines = [line for line in text.splitlines() if DRESSING.search(line)]
            if any(word.search(line) for line in lines):
                return True
            if any(b"$" in line for line in lines) and word.search(text):
                return True
        return False


def read_dpkg_files(tree: Tree) -> DpkgFiles | None:
    """The database of a guest; None where it has none.

    Raises: Malformed, TooLarge.
    """
    status = _find(tree, f"{FOLDER}/status", STATUS_BYTES_MAX)
    if status is None:
        return None
    names: dict[tuple[str, str], str] = {}
    config: dict[str, str] = {}
    for _, fields in read_paragraphs(status, FIELDS, f"{FOLDER}/status"):
        if fields.get("Status", "").endswith(HERE):
            name, arch = fields.get("Package", ""), fields.get("Architecture", "")
            same = fields.get("Multi-Arch", "") == "same"
            names[name, arch] = f"{name}:{arch}" if same else name
            config |= _config_of(fields.get("Conffiles", ""))
    return DpkgFiles(
        tree=tree,
        names={key: name for key, name in names.items() if "/" not in name},
        config=config,
        diversions=dict(_diversions(tree)),
        overrides=frozenset(_overrides(tree)),
        filters=tuple(_filters(tree)),
    )


def _config_of(text: str) -> dict[str, str]:
    """A package's configuration files with their sums, without those that are not its any more."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def _diversions(tree: Tree) -> Iterator[tuple[str, Diversion]]:
    """Three lines each: the path, where it goes, and whose it is."""
    lines = _text(tree, f"{FOLDER}/diversions").splitlines()
    for number in range(0, len(lines) - 2, 3):
        yield lines[number], Diversion(lines[number + 1], lines[number + 2])


def _overrides(tree: Tree) -> Iterator[str]:
    for line in _text(tree, f"{FOLDER}/statoverride").splitlines():
        parts = line.split(maxsplit=3)
        if len(parts) == 4:
            yield parts[3]


def _filters(tree: Tree) -> Iterator[tuple[bool, re.Pattern[str]]]:
    """The filters in the order in which dpkg reads its settings: the parts, then the file."""
    folder = "/etc/dpkg/dpkg.cfg.d"
    try:
        parts = [f"{folder}/{name}" for name in tree.names(folder)]
    except InputError:
        parts = []
    for place in (*parts, "/etc/dpkg/dpkg.cfg"):
        for line in _text(tree, place).splitlines():
            option, _, glob = line.strip().partition("=")
            kind = option.strip().removeprefix("--")
            if kind in ("path-exclude", "path-include"):
                pattern = re.compile(fnmatch.translate(glob.strip().strip("\"'")))
                yield kind == "path-exclude", pattern


def _text(tree: Tree, path: str) -> str:
    content = _find(tree, path, FILE_BYTES_MAX) or b""
    return content.decode(errors="surrogateescape")


def _find(tree: Tree, path: str, limit: int) -> bytes | None:
    try:
        return tree.read(path, limit)
    except MissingFile:
        return None
