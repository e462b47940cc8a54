"""Debian's security tracker: one JSON object of every source package and its CVEs, about 50 MB.

The tracker publishes no schema; its form is said in the tracker's own documentation of `data/json`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regild.feeds.advisories.words import CVE, read_severity
from regild.model.advisory import Advisory, Affected, gravest


class Release(msgspec.Struct, frozen=True):
    """What holds for one source in one release of Debian."""

    status: str = ""
    fixed_version: str = ""
    urgency: str = ""
    nodsa: str = ""
    nodsa_reason: str = ""


class Issue(msgspec.Struct, frozen=True):
    """One CVE of one source."""

    releases: dict[str, Release] = {}


def read_tracker(text: bytes) -> Iterator[Advisory]:
    """Every CVE of every source, one source at a time.

    Raises: msgspec.DecodeError.
    """
    for source, raw in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items():
        for name, issue in msgspec.json.decode(raw, type=dict[str, Issue]).items():
            affected = [
                one
                for codename, release in issue.releases.items()
                if (one := _affected(source, codename, release)) is not None
            ]
            if affected:
                yield Advisory(
                    id=name,
                    severity=gravest(
                        tuple(read_severity(one.urgency) for one in issue.releases.values())
                    ),
                    cves=(name,) if CVE.fullmatch(name) else (),
                    affected=tuple(affected),
                )


def _affected(source: str, codename: str, release: Release) -> Affected | None:
    """What the tracker says of a release; None where it was never affected, which it says as fixed
    in version 0."""
    if release.status == "resolved" and release.fixed_version in ("", "0"):
        return None
    known = release.status != "undetermined"
    return Affected(
        type="deb",
        ecosystem=codename,
        name=source,
        by="source",
        status="affected" if known else "under investigation",
        fixed=release.fixed_version if release.status == "resolved" else "",
        note=f"no-dsa: {release.nodsa}" if release.nodsa else "",
    )
