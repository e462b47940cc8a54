"""The advisories of an rpm repository: updateinfo.xml (createrepo_c; dnf(8), updateinfo)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element

import msgspec

from regild.errors import TooLarge
from regild.feeds.advisories.elements import read_elements
from regild.feeds.kept import keep_made
from regild.feeds.primary import evr_of
from regild.model.release import Notice

UPDATEINFO_SUFFIX = ".updateinfo.xml"
NOTICES_SUFFIX = ".notices"
NOTICES_LIMIT = 200_000
WORD_LIMIT = 200
CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")


def read_notices(file: IO[bytes], where: str) -> Iterator[Notice]:
    """Every update that an updateinfo.xml tells of.

    Raises: Malformed, TooLarge.
    """
    for count, update in enumerate(read_elements(file, frozenset({"update"}), where)):
        if count >= NOTICES_LIMIT:
            raise TooLarge(where=where, why=f"it tells of more than {NOTICES_LIMIT} updates")
        references = [one.get("id", "") for one in update.iterfind("references/reference")]
        packages = [one for one in update.iterfind("pkglist/collection/package") if _named(one)]
        yield Notice(
            id=_word(update.findtext("id", "")),
            type=_word(update.get("type", "")),
            severity=_word(update.findtext("severity", "")).lower(),
            cves=tuple(sorted({one for one in references if CVE.fullmatch(one)})),
            packages=tuple(dict.fromkeys(map(_package, packages))),
            reboot=any(_is_true(one.findtext("reboot_suggested")) for one in packages)
            or _is_true(update.findtext("reboot_suggested")),
            date=_date(update),
        )


_NOTICES = msgspec.msgpack.Decoder(tuple[Notice, ...])
"""Made here and not by the threads that use it: see `feeds.seen`."""


def keep_notices(path: Path, kept: Path, where: str) -> tuple[Notice, ...]:
    """The advisories of a verified file of the cache, read once and kept beside it.

    Raises: Malformed, TooLarge.
    """

    def make() -> tuple[Notice, ...]:
        with path.open("rb") as file:
            return tuple(read_notices(file, where))

    return keep_made(kept, _NOTICES.decode, make)


def _date(update: Element) -> str:
    """When an update was last changed, in RFC 3339 where it is a date and a time."""
    told = (update.find(name) for name in ("updated", "issued"))
    dates = (_word(one.get("date", "")) for one in told if one is not None)
    day, _, time = next(filter(None, dates), "").partition(" ")
    return f"{day}T{time}Z" if len(time) == len("00:00:00") else day


def _named(package: Element) -> bool:
    return bool(package.get("name") and package.get("version"))


def _package(package: Element) -> tuple[str, str, str]:
    evr = evr_of(package.get("epoch", "0"), package.get("version", ""), package.get("release", ""))
    return _word(package.get("name", "")), _word(evr), _word(package.get("arch", ""))


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("true", "1")


def _word(text: str) -> str:
    plain = " ".join(text.split())[:WORD_LIMIT]
    return plain if plain.isprintable() else ""
