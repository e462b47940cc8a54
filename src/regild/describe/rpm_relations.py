"""What a solver needs to know of the installed packages of rpm, as paragraphs of text.

One paragraph for each package, sorted; each relation stands on a line of its own, because a rich
one (rpm's "Boolean Dependencies") holds commas and blanks. Of the files only those are kept that a
relation can name without a repository's list of all files: the ones that createrepo puts into
primary.xml too, and those that an installed package asks for by path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from regild.errors import Malformed, TooLarge
from regild.model.rpm_header import Header, Tags
from regild.model.rpm_tags import OF_RPM, RELATIONS, SIGNS

VENDOR, SIZE, LONG_SIZE, DESCRIPTION = 1011, 1009, 5009, 1005
DIRECTORY_INDEXES, NAMES, DIRECTORIES = 1116, 1117, 1118
MODULE = 5096
STATUS_LIMIT = 48 << 20
RELATIONS_LIMIT = 200_000
"""Lines of one package; the largest kernel of a distribution provides 30,000 symbols."""

_PATH = re.compile(r"/[^\s()]*")


class Facts(NamedTuple):
    """What planning takes out of one header."""

    key: tuple[str, str, str]
    lines: tuple[str, ...]
    folders: tuple[str, ...]
    files: tuple[tuple[int, str], ...]
    """The number of its folder, and the name of each file."""
    provides: tuple[str, ...]
    wanted: tuple[str, ...]
    """Paths that its relations name."""


def read_facts(header: Header, tags: Tags, where: str) -> Facts:
    """What a solver needs of one package.

    Raises: Malformed, TooLarge.
    """
    lines = [f"Package: {header.name}", f"Version: {header.evr}", f"Arch: {header.arch}"]
    vendor = " ".join(_first(tags.texts(VENDOR)).split())
    if vendor:
        lines.append(f"Vendor: {_plain(vendor, where)}")
    size = tags.numbers(LONG_SIZE) or tags.numbers(SIZE)
    lines.append(f"Size: {size[0] if size else 0}")
    if module := _first(tags.texts(MODULE)):
        lines.append(f"Module: {_plain(module, where)}")
    provides: tuple[str, ...] = ()
    wanted: list[str] = []
    for field, names, flags, versions in RELATIONS:
        found = tuple(
            dict.fromkeys(_relations(tags.texts(names), tags.numbers(flags), tags.texts(versions)))
        )
        if len(found) > RELATIONS_LIMIT:
            raise TooLarge(where=where, why=f"it has more than {RELATIONS_LIMIT} {field}")
        lines.extend(f"{field}: {_plain(one, where)}" for one in found)
        if field == "Provides":
            provides = found
        else:
            wanted.extend(path for one in found if "/" in one for path in _PATH.findall(one))
    indexes, names_of_files = tags.numbers(DIRECTORY_INDEXES), tags.texts(NAMES)
    folders = tuple(tags.texts(DIRECTORIES))
    if len(indexes) != len(names_of_files) or any(one >= len(folders) for one in indexes):
        raise Malformed(where=where, why="its list of files does not fit together")
    return Facts(
        key=(header.name, header.evr, header.arch),
        lines=tuple(lines),
        folders=folders,
        files=tuple(zip(indexes, names_of_files, strict=True)),
        provides=provides,
        wanted=tuple(wanted),
    )


def write_status(packages: Iterable[Facts]) -> str:
    """The canonical text of all installed packages.

    Raises: TooLarge.
    """
    known = sorted(packages, key=lambda one: one.key)
    wanted = {path for one in known for path in one.wanted}
    folders = {path.rpartition("/")[0] + "/" for path in wanted}
    paragraphs, room = [], STATUS_LIMIT
    for one in known:
        files = sorted(set(_kept_files(one, wanted, folders)))
        paragraph = "\n".join([*one.lines, *(f"File: {path}" for path in files), ""])
        room -= len(paragraph)
        if room < 0:
            raise TooLarge(
                where="rpm's database", why=f"its relations take over {STATUS_LIMIT} bytes"
            )
        paragraphs.append(paragraph)
    return "\n".join(paragraphs)


def _kept_files(one: Facts, wanted: set[str], folders: set[str]) -> Iterator[str]:
    whole = [_is_primary(folder) for folder in one.folders]
    part = [folder in folders or folder == "/usr/lib/" for folder in one.folders]
    for number, name in one.files:
        if whole[number] or part[number]:
            path = one.folders[number] + name
            kept = whole[number] or path in wanted or path == "/usr/lib/sendmail"
            if kept and path.isprintable() and len(path) <= 1024:
                yield path


def _is_primary(folder: str) -> bool:
    """Whether createrepo lists a folder's files in primary.xml."""
    return folder.startswith("/etc/") or "bin/" in folder


def _relations(
    names: Sequence[str], flags: Sequence[int], versions: Sequence[str]
) -> Iterator[str]:
    """Relations as rpm prints them, such as `bash >= 4.0`."""
    for number, name in enumerate(names):
        if not name or name.startswith(OF_RPM):
            continue
        sign = SIGNS.get(flags[number] & 14, "") if number < len(flags) else ""
        version = versions[number] if number < len(versions) else ""
        yield f"{name} {sign} {version}" if sign and version else name


def _first(texts: Sequence[str]) -> str:
    return texts[0] if texts else ""


def _plain(text: str, where: str) -> str:
    """A text that fits on a line.

    Raises: Malformed.
    """
    if not text.isprintable() or len(text) > 4096:
        raise Malformed(where=where, why=f"its relation {text[:60]!r} is not plain text")
    return text
