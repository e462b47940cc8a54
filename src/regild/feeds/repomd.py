"""What an rpm repository says of itself: repomd.xml names its indexes and their digests
(createrepo_c's documentation; libsolv's repo_repomdxml reads the same)."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from regild.errors import Malformed, TooLarge
from regild.feeds.advisories.elements import read_elements
from regild.feeds.bring import HASHES, Promise
from regild.model.content import Value
from regild.model.digest import Digest

REPOMD_LIMIT = 4 << 20
PARTS_LIMIT = 200

_HEX = frozenset("0123456789abcdef")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Part(Value, frozen=True):
    """One file that a repository consists of."""

    href: str
    """Its path below the repository's address."""
    digest: Digest
    bytes: int
    """-1 where nothing is said."""
    unpacked: Digest | None = None
    unpacked_bytes: int = -1

    def promised(self, address: str) -> Promise:
        """The file below a repository's address."""
        return Promise(
            f"{address}/{self.href}", self.digest, self.bytes, self.unpacked, self.unpacked_bytes
        )


class Repomd(Value, frozen=True):
    """A repository's own statement, read."""

    revision: str
    date: datetime | None
    """Of its newest part."""
    parts: dict[str, Part]
    """By type, such as `primary`."""


def read_repomd(text: bytes, where: str) -> Repomd:
    """Read repomd.xml.

    Raises: Malformed, TooLarge.
    """
    parts: dict[str, Part] = {}
    revision, newest = "", 0
    for element in read_elements(io.BytesIO(text), frozenset({"revision", "data"}), where):
        if element.tag == "revision":
            revision = (element.text or "").strip()[:100]
            continue
        kind = element.get("type", "")
        if len(parts) >= PARTS_LIMIT:
            raise TooLarge(where=where, why=f"it has more than {PARTS_LIMIT} parts")
        if kind in parts:
            raise Malformed(where=where, why=f"it has two parts of the type {kind[:40]!r}")
        if (part := _part(element, where)) is not None:
            parts[kind] = part
            newest = max(newest, _number(element, "timestamp", 0))
    if "primary" not in parts:
        raise Malformed(where=where, why="it names no primary index with a digest to believe")
    return Repomd(revision, _moment(newest or _plain(revision)), parts)


def _part(element: Element, where: str) -> Part | None:
    """One part; None for one that only weak digests vouch for."""
    digest = _digest(element.find("checksum"))
    if digest is None:
        return None
    location = element.find("location")
    href = location.get("href", "") if location is not None else ""
    if location is not None and location.get("base"):
        raise Malformed(where=where, why="a part lies in another repository")
    if not is_inside(href):
        raise Malformed(where=where, why=f"a part's place {href[:80]!r} leads out of it")
    return Part(
        href=href,
        digest=digest,
        bytes=_number(element, "size", -1),
        unpacked=_digest(element.find("open-checksum")),
        unpacked_bytes=_number(element, "open-size", -1),
    )


def _digest(element: Element | None) -> Digest | None:
    if element is None or element.get("type") not in HASHES:
        return None
    kind, digits = element.get("type", ""), (element.text or "").strip().lower()
    if len(digits) != _LENGTHS[kind] or not set(digits) <= _HEX:
        return None
    return Digest(f"{kind}:{digits}")


def _number(element: Element, name: str, default: int) -> int:
    found = element.find(name)
    return _plain(found.text or "" if found is not None else "", default)


def _plain(text: str, default: int = 0) -> int:
    whole = text.strip().partition(".")[0]
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) < 16 else default


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def is_inside(path: str) -> bool:
    """Whether a path stays below the address that it is added to."""
    return (
        0 < len(path) <= 1000
        and path.isascii()
        and path.isprintable()
        and not path.startswith("/")
        and not set(path) & set(" ?#\\")
        and ".." not in path.split("/")
        and "%2e" not in path.lower()
    )
