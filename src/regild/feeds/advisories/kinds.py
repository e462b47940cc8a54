"""Which format a file of advisories has, by its content, and its advisories one after the other."""

from __future__ import annotations

import mmap
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from regild.errors import Malformed, RegildError, TooLarge, UnsupportedFormat
from regild.feeds.advisories.csaf import read_csaf
from regild.feeds.advisories.cvrf import read_cvrf, read_cvrf_json
from regild.feeds.advisories.elements import read_root
from regild.feeds.advisories.kev import read_kev
from regild.feeds.advisories.osv import read_osv
from regild.feeds.advisories.secdb import read_secdb
from regild.feeds.advisories.tracker import read_tracker
from regild.feeds.advisories.updateinfo import read_updateinfo
from regild.host.decompress import open_unpacked
from regild.model.advisory import Advisory

UNPACKED_LIMIT = 1 << 30
"""The largest in the field, Debian's tracker, has 50 million bytes."""
HEAD_BYTES = 1 << 16
MEMBERS_LIMIT = 500_000
"""Files in one archive; OSV's for all of Debian has about 60,000."""
MEMBER_LIMIT = 64 << 20

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xfd7zXZ\0", ".xz"),
    (b"\x1f\x8b", ".gz"),
    (b"\x28\xb5\x2f\xfd", ".zst"),
    (b"BZh", ".bz2"),
)
ZIP_MAGIC = b"PK\x03\x04"


class Told(NamedTuple):
    """An advisory, and the format that it came in."""

    kind: str
    advisory: Advisory


class JsonKind(NamedTuple):
    """A format in JSON: the keys that every document of it has."""

    name: str
    keys: frozenset[str]
    read: Callable[[bytes], Iterator[Advisory]]


JSON_KINDS: tuple[JsonKind, ...] = (
    JsonKind("csaf", frozenset({"document"}), read_csaf),
    JsonKind("kev", frozenset({"catalogVersion", "vulnerabilities"}), read_kev),
    JsonKind("secdb", frozenset({"distroversion", "packages"}), read_secdb),
    JsonKind("osv", frozenset({"id", "modified"}), read_osv),
    JsonKind("cvrf", frozenset({"DocumentTitle", "Vulnerability"}), read_cvrf_json),
)
TRACKER = JsonKind("tracker", frozenset(), read_tracker)
"""Debian's has source packages as its keys, so it is what none of the others is."""

XML_KINDS: dict[str, tuple[str, Callable[[IO[bytes], str], Iterator[Advisory]]]] = {
    "updates": ("updateinfo", read_updateinfo),
    "cvrfdoc": ("cvrf", read_cvrf),
}
"""By the root element's name."""


def read_file(path: Path, where: str) -> Iterator[Told]:
    """Every advisory in a file, in any of the formats, packed or not, or in a zip archive of such.

    Raises: Malformed, TooLarge, Truncated, UnsupportedFormat.
    """
    with path.open("rb") as file:
        yield from _read(file, where)


def _read(file: IO[bytes], where: str) -> Iterator[Told]:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(ZIP_MAGIC):
        yield from _read_zip(file, where)
        return
    suffix = next((suffix for magic, suffix in MAGIC if head.startswith(magic)), "")
    if suffix:
        with tempfile.TemporaryFile() as plain:
            reader = open_unpacked(suffix, file, where, UNPACKED_LIMIT)
            while piece := reader.read(1 << 18):
                plain.write(piece)
            plain.seek(0)
            yield from _read_plain(plain, where)
    else:
        yield from _read_plain(file, where)


def _read_plain(file: IO[bytes], where: str) -> Iterator[Told]:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"<":
        name, read = XML_KINDS.get(read_root(head), ("", None))
        if read is None:
            raise _unsupported(where)
        yield from (Told(name, one) for one in read(file, where))
    elif first in (b"{", b"["):
        size = file.seek(0, 2)
        if size > UNPACKED_LIMIT:
            raise TooLarge(where=where, why=f"it holds more than {UNPACKED_LIMIT} bytes")
        # Let go of with the last value that was read from it: they refer to its bytes.
        text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        yield from read_json(memoryview(text), where)
    else:
        raise _unsupported(where)


def _read_zip(file: IO[bytes], where: str) -> Iterator[Told]:
    """The documents of an archive, as OSV offers them for a whole ecosystem."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MEMBERS_LIMIT:
                raise TooLarge(where=where, why=f"it holds more than {MEMBERS_LIMIT} files")
            for member in members:
                if not member.filename.endswith(".json"):
                    continue
                place = f"{member.filename[:200]} in {where}"
                with archive.open(member) as inner:
                    text = inner.read(MEMBER_LIMIT + 1)
                if len(text) > MEMBER_LIMIT:
                    raise TooLarge(where=place, why=f"it holds more than {MEMBER_LIMIT} bytes")
                yield from read_json(text, place)
    except RegildError:
        raise
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, NotImplementedError, ...
        raise Malformed(where=where, why=f"it is not a whole zip archive: {error}") from error


def read_json(text: bytes | memoryview, where: str) -> Iterator[Told]:
    """Every advisory of a JSON document: one of the formats, or a list of OSV objects.

    Raises: Malformed, UnsupportedFormat.
    """
    try:
        if bytes(text[:64]).lstrip()[:1] == b"[":
            for raw in msgspec.json.decode(text, type=list[msgspec.Raw]):
                yield from (Told("osv", one) for one in read_osv(bytes(raw)))
            return
        kind = kind_of(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
        if kind is None:
            raise _unsupported(where)
        yield from (Told(kind.name, one) for one in kind.read(text))  # type: ignore[arg-type]  # any buffer will do
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(where=where, why=f"it does not follow its format: {error}") from error


def kind_of(table: dict[str, msgspec.Raw]) -> JsonKind | None:
    """The format of a JSON object, by its keys."""
    for kind in JSON_KINDS:
        if kind.keys <= table.keys():
            return kind
    first = next(iter(table.values()), None)
    if first is not None and bytes(memoryview(first)[:1]) == b"{":
        names = msgspec.json.decode(first, type=dict[str, msgspec.Raw])
        if all(name.startswith(("CVE-", "TEMP-", "DSA-", "DLA-")) for name in names):
            return TRACKER
    return None


def _unsupported(where: str) -> UnsupportedFormat:
    known = [kind.name for kind in (*JSON_KINDS, TRACKER)] + ["updateinfo"]
    return UnsupportedFormat(
        where=where, why=f"it is no feed of advisories; known are {', '.join(known)}"
    )
