"""OSV: one advisory in one JSON object (Open Source Vulnerability format 1.6)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regild.feeds.advisories.words import (
    cves_of,
    read_ecosystem,
    read_severity,
    severity_of_vector,
)
from regild.model.advisory import Advisory, Affected, Severity, gravest


class Score(msgspec.Struct, frozen=True):
    """`severity`: a vector, or Ubuntu's own word."""

    type: str = ""
    score: str = ""


class Event(msgspec.Struct, frozen=True):
    """One point on the line of versions."""

    introduced: str = ""
    fixed: str = ""
    last_affected: str = ""


class Range(msgspec.Struct, frozen=True):
    """A line of versions with its events."""

    type: str = ""
    events: list[Event] = []


class Named(msgspec.Struct, frozen=True):
    """`package`."""

    ecosystem: str = ""
    name: str = ""


class Specific(msgspec.Struct, frozen=True):
    """The words of a publisher for how grave it is, of those that state one."""

    severity: str = ""
    urgency: str = ""


class Part(msgspec.Struct, frozen=True):
    """`affected`."""

    package: Named | None = None
    ranges: list[Range] | None = None
    versions: list[str] | None = None
    severity: list[Score] | None = None
    ecosystem_specific: msgspec.Raw = msgspec.Raw()
    database_specific: msgspec.Raw = msgspec.Raw()


class Document(msgspec.Struct, frozen=True):
    """One OSV object, as far as it is used."""

    id: str
    modified: str
    published: str = ""
    withdrawn: str = ""
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: msgspec.Raw = msgspec.Raw()
    summary: str = ""
    severity: list[Score] | None = None
    affected: list[Part] | None = None
    database_specific: msgspec.Raw = msgspec.Raw()


def read_osv(text: bytes) -> Iterator[Advisory]:
    """The advisory in an OSV object; nothing where it was withdrawn.

    Raises: msgspec.DecodeError.
    """
    found = msgspec.json.decode(text, type=Document)
    if found.withdrawn:
        return
    # Distributions name the CVE as upstream (Debian, Ubuntu) or, before there was that, as related.
    named = cves_of(found.id, *(found.aliases or ()), *(found.upstream or ()))
    parts = found.affected or ()
    yield Advisory(
        id=found.id,
        severity=_severity(found),
        cves=named or cves_of(*_texts(found.related)),
        title=found.summary,
        published=found.published or found.modified,
        affected=tuple(one for part in parts for one in _affected(part)),
    )


def _severity(found: Document) -> Severity:
    """The gravest that the document states anywhere."""
    scores = [*(found.severity or ())]
    specific = [found.database_specific]
    for part in found.affected or ():
        scores += part.severity or ()
        specific += [part.ecosystem_specific, part.database_specific]
    said = [
        read_severity(one.score) if one.type == "Ubuntu" else severity_of_vector(one.score)
        for one in scores
    ]
    for raw in specific:
        words = _specific(raw)
        said += [read_severity(words.severity), read_severity(words.urgency)]
    return gravest(tuple(said))


def _specific(raw: msgspec.Raw) -> Specific:
    """What a publisher's own part says; its form is free, so one that differs says nothing."""
    try:
        return msgspec.json.decode(raw, type=Specific) if bytes(raw) else Specific()
    except (ValueError, RecursionError):
        return Specific()


def _texts(raw: msgspec.Raw) -> list[str]:
    """`related` is a list of ids, in newer documents one of objects."""
    try:
        return msgspec.json.decode(raw, type=list[str]) if bytes(raw) else []
    except (ValueError, RecursionError):
        return []


def _affected(part: Part) -> Iterator[Affected]:
    """Each span of versions that has the weakness."""
    if part.package is None:
        return
    type, ecosystem = read_ecosystem(part.package.ecosystem)
    # Debian's, Ubuntu's and Alpine's names are those of sources; the others' of binary packages.
    start = Affected(
        type, ecosystem, part.package.name, "source" if type in ("deb", "apk") else "binary"
    )
    lines = [one for one in part.ranges or () if one.type != "GIT"]
    for line in lines:
        yield from _spans(line, start)
    if not lines and part.versions:
        yield msgspec.structs.replace(start, versions=tuple(part.versions))


def _spans(line: Range, start: Affected) -> Iterator[Affected]:
    """From each `introduced` to the next `fixed` or `last_affected`."""
    open_from: str | None = None
    for event in line.events:
        if event.introduced:
            open_from = "" if event.introduced == "0" else event.introduced
        elif open_from is not None and (event.fixed or event.last_affected):
            yield msgspec.structs.replace(
                start, introduced=open_from, fixed=event.fixed, last=event.last_affected
            )
            open_from = None
    if open_from is not None:
        yield msgspec.structs.replace(start, introduced=open_from)
