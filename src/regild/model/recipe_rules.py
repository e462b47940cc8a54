"""What a recipe's file must not say, although it is well formed: one rule a function; pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regild.model.pattern import fault_of

if TYPE_CHECKING:
    from regild.model.recipe_tables import RecipeTables

NAME = re.compile(r"[a-z0-9]([a-z0-9.+-]{0,62}[a-z0-9])?")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,127}")
FILE_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+~-]{0,199}")
HEX = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"https?://[!-~]+")
STARS_MAX = 3
FILE_BYTES_LIMIT = 8 << 30
RELEASES_MAX = 1000
FILES_MAX = 100
COMMANDS_MAX = 50
COMMAND_LENGTH_MAX = 10_000

TOO_WIDE = frozenset(
    {
        *("", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root"),
        *("/run", "/sbin", "/srv", "/sys", "/usr", "/usr/bin", "/usr/lib", "/usr/local"),
        *("/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/lib/dpkg", "/var/log"),
        *("/var/spool", "/usr/local/bin", "/usr/local/lib", "/usr/local/sbin", "/etc/systemd"),
    }
)
"""Folders that are everybody's: a recipe names what is its own below them."""

Fault = tuple[str, str, str, int]
"""Table, setting, what is wrong with it, and which one of several tables of that name it is in."""


def rule_faults(tables: RecipeTables) -> Iterator[Fault]:
    """Everything that a recipe says and must not."""
    if not NAME.fullmatch(tables.recipe.name):
        why = "takes small letters, digits, dots, plus and hyphens, 64 at most"
        yield "recipe", "name", why, 0
    yield from _kinds(tables)
    yield from _detected(tables)
    yield from _offered(tables)
    yield from _run(tables)
    yield from _families(tables)


def _kinds(tables: RecipeTables) -> Iterator[Fault]:
    """A recipe is of one kind, and says all that its kind needs."""
    kinds = [name for name in ("update", "pip", "npm") if getattr(tables, name) is not None]
    if len(kinds) != 1:
        yield "recipe", "", "has one of [update], [pip] and [npm] beside it, and no two", 0
    elif kinds != ["update"]:
        for name in ("detect", "available"):
            if getattr(tables, name) is not None:
                yield name, "", f"says nothing to [{kinds[0]}]: leave it out", 0
    elif (tables.detect is None) != (tables.available is None):
        missing = "detect" if tables.detect is None else "available"
        there = "available" if tables.detect is None else "detect"
        yield there, "", f"needs [{missing}] beside it", 0
    elif tables.detect is not None:
        if tables.test is None:
            yield (
                "update",
                "",
                "needs [test] with a command that shows that the application works",
                0,
            )
        if tables.update is not None and not tables.update.changes:
            yield "update", "changes", "names the folders that the application may change", 0
        for setting in ("files", "packages"):
            if getattr(tables.update, setting):
                why = "is for commands of one's own, without [detect] and [available]"
                yield "update", setting, why, 0


def _detected(tables: RecipeTables) -> Iterator[Fault]:
    detect = tables.detect
    if detect is None:
        return
    if not is_guest_path(detect.file):
        yield "detect", "file", "is a path from the guest's root, without .. and //", 0
    if detect.file.count("*") > STARS_MAX:
        yield "detect", "file", f"has more than {STARS_MAX} stars", 0
    if sum(map(bool, (detect.pattern, detect.json, detect.name))) > 1:
        yield "detect", "", "says the version in one way: pattern, json or name", 0
    for setting in ("pattern", "name"):
        pattern = getattr(detect, setting)
        if pattern and (why := fault_of(pattern)):
            yield "detect", setting, why, 0


def _offered(tables: RecipeTables) -> Iterator[Fault]:
    offered = tables.available
    if offered is None:
        return
    if bool(offered.releases) == bool(offered.index):
        yield (
            "available",
            "index",
            "or [[available.releases]] says which versions there are, one of",
            0,
        )
    if offered.index:
        if not is_place(offered.index):
            yield "available", "index", "is an address (http, https) or a path beside the recipe", 0
        if bool(offered.sha256) == bool(offered.key):
            yield "available", "index", "is vouched for by one of sha256 and key", 0
        if offered.sha256 and not HEX.fullmatch(offered.sha256):
            yield "available", "sha256", "is 64 small hexadecimal digits", 0
        if offered.key and not FILE_NAME.fullmatch(offered.key):
            yield "available", "key", "is the name of a file beside the recipe", 0
    if len(offered.releases) > RELEASES_MAX:
        yield "available", "releases", f"are over {RELEASES_MAX}", 0
        return
    versions = [one.version for one in offered.releases]
    for number, one in enumerate(offered.releases):
        if not VERSION.fullmatch(one.version):
            yield "available.releases", "version", f"{one.version[:40]!r} is no version", number
        if versions.count(one.version) > 1:
            yield "available.releases", "version", f"{one.version} is there twice", number
        yield from _files("available.releases", number, one.files)


def _files(table: str, number: int, files: list) -> Iterator[Fault]:  # type: ignore[type-arg]  # of a private table's
    names = [one.name for one in files]
    if len(names) > FILES_MAX:
        yield table, "files", f"are over {FILES_MAX}", number
        return
    for one in files:
        if not FILE_NAME.fullmatch(one.name) or names.count(one.name) > 1:
            why = f"{one.name[:40]!r} is no plain name of a file, or is there twice"
            yield table, "files", why, number
        if not is_place(one.uri):
            why = f"{one.uri[:60]!r} is no address (http, https) and no path beside the recipe"
            yield table, "files", why, number
        if not HEX.fullmatch(one.sha256):
            yield (
                table,
                "files",
                f"{one.name[:40]}: sha256 is 64 hexadecimal digits",
                number,
            )
        if not 0 < one.bytes <= FILE_BYTES_LIMIT:
            yield (
                table,
                "files",
                f"{one.name[:40]}: bytes is the size of the file",
                number,
            )


def _run(tables: RecipeTables) -> Iterator[Fault]:
    """Commands that can be run, and places that are the application's own."""
    for table in ("update", "test"):
        found = getattr(tables, table)
        if found is None:
            continue
        if not 0 < len(found.commands) <= COMMANDS_MAX:
            yield table, "commands", f"are from 1 to {COMMANDS_MAX}", 0
        for one in found.commands:
            words = [one] if isinstance(one, str) else one
            if not words or not words[0].strip() or "\0" in "".join(words):
                yield table, "commands", "hold an empty one, or a NUL", 0
            if sum(map(len, words)) > COMMAND_LENGTH_MAX:
                yield table, "commands", f"hold one of over {COMMAND_LENGTH_MAX} letters", 0
    yield from _files("update", 0, tables.update.files) if tables.update else ()
    for path in tables.update.changes if tables.update else ():
        if not is_guest_path(path) or "*" in path or "?" in path:
            yield "update", "changes", f"{path[:60]!r} is no path from the guest's root", 0
        elif path.rstrip("/") in TOO_WIDE:
            yield (
                "update",
                "changes",
                f"{path} is everybody's: name what is the application's own",
                0,
            )


def _families(tables: RecipeTables) -> Iterator[Fault]:
    if tables.pip is not None:
        if not is_guest_path(tables.pip.environment):
            yield "pip", "environment", "is a path from the guest's root", 0
        if not is_place(tables.pip.index):
            yield "pip", "index", "is an address (http, https) or a folder beside the recipe", 0
        yield from _requirements(tables.pip.packages, tables.pip.constraints)
    if tables.npm is not None:
        if not is_guest_path(tables.npm.folder):
            yield "npm", "folder", "is a path from the guest's root", 0
        if not FILE_NAME.fullmatch(tables.npm.lock):
            yield "npm", "lock", "is the name of a package-lock.json beside the recipe", 0
        if tables.npm.tarballs and not is_place(tables.npm.tarballs):
            yield "npm", "tarballs", "is a folder beside the recipe", 0


def _requirements(packages: list[str], constraints: list[str]) -> Iterator[Fault]:
    from packaging.requirements import InvalidRequirement, Requirement

    for name in packages:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,100}[A-Za-z0-9])?", name):
            yield "pip", "packages", f"{name[:40]!r} is no name of a package", 0
    for text in constraints:
        try:
            stated = Requirement(text)
            if stated.url or stated.extras or stated.marker:
                yield "pip", "constraints", f"{text[:40]!r} says more than a range of versions", 0
        except InvalidRequirement:
            yield "pip", "constraints", f"{text[:40]!r} is no requirement (PEP 508)", 0


def is_guest_path(path: str) -> bool:
    """Whether a text is a plain path from a guest's root, which leads nowhere else."""
    plain = path.rstrip("/")
    good = path.startswith("/") and path.isprintable() and len(path) <= 1000
    return good and bool(plain) and posixpath.normpath(plain) == plain


def is_place(text: str) -> bool:
    """Whether a text is an address, or a path below the recipe's own folder."""
    if "://" in text:
        return ADDRESS.fullmatch(text) is not None
    good = bool(text) and text.isprintable() and not text.startswith("/") and len(text) <= 1000
    return good and ".." not in text.split("/") and "\\" not in text
