"""apt's way of spreading one file over a main file and a folder of parts (apt.conf(5),
sources.list(5), apt_preferences(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.errors import TooLarge
from regild.model.content import Unknown

PART_LIMIT = 1 << 20
PARTS_LIMIT = 500
TOTAL_LIMIT = 4 << 20
"""No site keeps more in one folder of /etc/apt; the bounds are against hostile images."""

_NAME = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_.:-]*")

TRUE_WORDS = ("yes", "true", "with", "on", "enable", "1")
FALSE_WORDS = ("no", "false", "without", "off", "disable", "0")
"""What apt takes for yes and for no."""


def read_parts(
    evidence: Evidence,
    paths: tuple[str, str],
    suffixes: tuple[str, ...],
    unknowns: list[Unknown],
    main_first: bool = True,
) -> Iterator[tuple[str, bytes]]:
    """Path and content of the main file and of each part that apt would read, in apt's order.

    `paths` are the main file and the folder; a suffix of "" allows names without a dot. What
    cannot be read is added to `unknowns`.
    """
    main, folder = paths
    parts = [f"{folder}/{name}" for name in part_names(evidence, folder, suffixes, unknowns)]
    room = TOTAL_LIMIT
    for path in [main, *parts] if main_first else [*parts, main]:
        try:
            content = evidence.find_bytes(path, min(PART_LIMIT, max(room, 0)))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            continue
        if content:
            room -= len(content)
            yield path, content


def part_names(
    evidence: Evidence, folder: str, suffixes: tuple[str, ...], unknowns: list[Unknown]
) -> list[str]:
    """The names in a folder that apt would read, sorted."""
    try:
        names = [name for name in evidence.names(folder) if _counts(name, suffixes)]
        if len(names) > PARTS_LIMIT:
            raise TooLarge(where=folder, why=f"it holds more than {PARTS_LIMIT} files")
    except Unreadable as error:
        unknowns.append(unknown(error, folder))
        return []
    return names


def _counts(name: str, suffixes: tuple[str, ...]) -> bool:
    if not _NAME.fullmatch(name):
        return False
    suffix = "." + name.rpartition(".")[2] if "." in name else ""
    return suffix in suffixes
