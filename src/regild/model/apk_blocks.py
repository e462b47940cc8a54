"""Packages as apk writes them down: blocks of `X:value` lines, parted by empty lines (apk-tools,
"APKINDEX format"; the same letters in a guest's database)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.errors import Malformed, TooLarge

PLACES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
"""Where a guest's database may lie. The second one since Alpine's / and /usr became one; then the
first may lead to it."""
WORLD = "/etc/apk/world"
BLOCKS_LIMIT = 200_000
VALUE_LIMIT = 256 << 10
_FIELD = re.compile(r"([A-Za-z]):(.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,254}")
_RELATION = re.compile(r"(!?)([^\s<>=~@!]+)(?:@([^\s<>=~]+))?(?:([<>=~]+)(\S+))?")

Block = dict[str, str]
Relation = tuple[bool, str, str, str, str]
"""Whether it is a conflict; the name; the tag of a repository; sign and version, perhaps empty."""


def read_blocks(text: str, where: str) -> Iterator[Block]:
    """Each package's fields by letter, with a name and a version that are such.

    Raises: Malformed, TooLarge.
    """
    for count, paragraph in enumerate(text.split("\n\n")):
        if count > BLOCKS_LIMIT:
            raise TooLarge(where=where, why=f"it lists more than {BLOCKS_LIMIT} packages")
        block: Block = {}
        for line in filter(None, paragraph.split("\n")):
            match = _FIELD.fullmatch(line)
            if match is None or len(line) > VALUE_LIMIT or not line.isprintable():
                raise Malformed(where=where, why=f"{line[:60]!r} is no field of a package")
            block.setdefault(match[1], match[2])
        if not block:
            continue
        name, version = block.get("P", ""), block.get("V", "")
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise Malformed(where=where, why=f"a package's name or version is none: {name[:60]!r}")
        yield block


def read_relations(text: str) -> Iterator[Relation]:
    """The relations of a list; what is none is passed over, as no package can be meant by it."""
    for word in text.split():
        if match := _RELATION.fullmatch(word):
            conflict, name, tag, sign, version = match.groups(default="")
            yield bool(conflict), name, tag, sign, version
