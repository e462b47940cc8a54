"""CVE ids from the changelogs inside the very packages of a plan: evidence, not proof.

A Debian package carries the changelog of its source. The entries newer than the installed version
name what they fix; what a maintainer did not write is not known, and a mention is no proof.
Source: Debian Policy 4.4 and 12.7; deb-changelog(5).
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from regild.feeds.deb import read_files
from regild.model.versions import is_newer

CHANGELOG = re.compile(r"/usr/share/doc/[^/]+/changelog(\.Debian)?\.gz")
ENTRY = re.compile(r"^\S+ \(([^()\s]+)\) ", re.MULTILINE)
CVE = re.compile(r"\bCVE-\d{4}-\d{4,7}\b")
REBUILD = re.compile(r"\+b\d+$")
TEXT_BYTES_MAX = 64 << 20


def find_changelog(package: Path) -> str | None:
    """The Debian changelog in a package; None where its folder is a link to another package's.

    Raises: Malformed, Truncated, TooLarge.
    """
    found = dict(read_files(package, lambda path: CHANGELOG.fullmatch(path) is not None))
    for ending in ("changelog.Debian.gz", "changelog.gz"):  # native packages have the second
        for path, content in sorted(found.items()):
            if path.endswith("/" + ending):
                return unpack_changelog(content)
    return None


def read_cves(changelog: str, installed: str) -> tuple[str, ...]:
    """The CVE ids in the entries newer than an installed version of the source."""
    begin = REBUILD.sub("", installed)
    entries = list(ENTRY.finditer(changelog))
    found: set[str] = set()
    for number, entry in enumerate(entries):
        if not is_newer("deb", entry.group(1), begin):
            break
        end = entries[number + 1].start() if number + 1 < len(entries) else len(changelog)
        found.update(CVE.findall(changelog, entry.start(), end))
    return tuple(sorted(found, key=_by_year))


def unpack_changelog(content: bytes) -> str:
    """A changelog's text; one that is damaged or too long tells nothing."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(content, TEXT_BYTES_MAX)
    except zlib.error:
        return ""
    return text.decode(errors="replace")


def _by_year(name: str) -> tuple[int, int]:
    _, year, number = name.split("-")
    return int(year), int(number)
