"""updateinfo: the advisories of an rpm repository (createrepo_c's updateinfo.xml)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from regild.feeds.advisories.elements import read_elements
from regild.feeds.advisories.words import cves_of, read_severity
from regild.model.advisory import Advisory, Affected


def read_updateinfo(file: IO[bytes], where: str) -> Iterator[Advisory]:
    """Every update that is for security, or names a CVE.

    Raises: Malformed, TooLarge.
    """
    for update in read_elements(file, frozenset({"update"}), where):
        references = [one.get("id", "") for one in update.iterfind("references/reference")]
        cves = cves_of(*references)
        if update.get("type") != "security" and not cves:
            continue
        yield Advisory(
            id=_text(update, "id"),
            severity=read_severity(_text(update, "severity")),
            cves=cves,
            title=_text(update, "title"),
            published=_date(update),
            affected=tuple(dict.fromkeys(_affected(update))),
        )


def _affected(update: Element) -> Iterator[Affected]:
    for package in update.iterfind("pkglist/collection/package"):
        version, release = package.get("version", ""), package.get("release", "")
        epoch = package.get("epoch") or "0"
        if name := package.get("name", ""):
            number = f"{version}-{release}"
            fixed = number if epoch == "0" else f"{epoch}:{number}"
            yield Affected("rpm", "", name, fixed=fixed)


def _date(update: Element) -> str:
    """When it was last changed, as RFC 3339 where it is a date and time."""
    for name in ("updated", "issued"):
        found = update.find(name)
        if found is not None and (text := found.get("date", "")):
            day, _, time = text.partition(" ")
            return f"{day}T{time}Z" if len(time) == 8 else day
    return ""


def _text(update: Element, name: str) -> str:
    found = update.find(name)
    return (found.text or "").strip() if found is not None else ""
