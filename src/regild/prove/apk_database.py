"""What apk's database says of files, and which of them are the site's to change.

Read anew from the guest for the proof, apart from what describing keeps. Source: apk-tools,
`lib/apk/db/installed` and `protected_paths.d`.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property

from regild.errors import InputError, MissingFile
from regild.image.tree import Tree
from regild.model.apk_blocks import PLACES, WORLD
from regild.model.apk_database import Installed, read_database

DATABASE_LIMIT = 128 << 20
RULES_FOLDER = "/etc/apk/protected_paths.d"
RULES_LIMIT = WORLD_LIMIT = 1 << 20
RULES = (("etc/apk", "!"), ("etc/init.d", "@"), ("etc", "+"))
"""What apk protects by itself, the first that fits: not, links alone, files and links."""


@dataclass(frozen=True)
class ApkFiles:
    """What a guest's database of apk says of files."""

    tree: Tree
    installed: tuple[Installed, ...]

    @cached_property
    def by_name(self) -> dict[str, Installed]:
        """The packages by name."""
        return {one.name: one for one in self.installed}

    @cached_property
    def sums(self) -> dict[str, tuple[str, str]]:
        """The sum of every path."""
        return {path: told for one in self.installed for path, told in one.files.items()}

    @cached_property
    def world(self) -> str:
        """What the guest asks for, in one order.

        Raises: Malformed, TooLarge.
        """
        try:
            words = self.tree.read(WORLD, WORLD_LIMIT).decode(errors="replace").split()
        except MissingFile:
            return ""
        return " ".join(sorted(words))

    @cached_property
    def rules(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """What is protected and how, in order of trial: the site's rules before apk's own.

        Raises: Malformed, TooLarge.
        """
        rows = []
        try:
            names = self.tree.names(RULES_FOLDER)
        except InputError:
            names = ()
        for name in names:
            if name.endswith(".list"):
                text = self.tree.read(f"{RULES_FOLDER}/{name}", RULES_LIMIT).decode(
                    errors="replace"
                )
                rows += [(one[1:], one[0]) for one in text.split() if one[0] in "-+@!"]
        return tuple((re.compile(fnmatch.translate(glob)), sign) for glob, sign in (*rows, *RULES))

    def is_protected(self, path: str) -> bool:
        """Whether a file is the site's to change."""
        parts = path.strip("/").split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        for pattern, sign in self.rules:
            if any(pattern.match(place) for place in above):
                return sign == "+"
        return False


def read_apk_files(tree: Tree) -> ApkFiles | None:
    """The database of a guest; None where it has none.

    Raises: Malformed, TooLarge.
    """
    for place in PLACES:
        try:
            content = tree.read(place, DATABASE_LIMIT)
        except MissingFile:
            continue
        text = content.decode(errors="surrogateescape")
        return ApkFiles(tree, tuple(read_database(text, place)))
    return None
