"""updateinfo as a feed of the site: the advisories of an rpm repository, in a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from regild.feeds.advisories.words import read_severity
from regild.feeds.updateinfo import read_notices
from regild.model.advisory import Advisory, Affected


def read_updateinfo(file: IO[bytes], where: str) -> Iterator[Advisory]:
    """Every update that is for security, or names a CVE.

    Raises: Malformed, TooLarge.
    """
    for notice in read_notices(file, where):
        if notice.type == "security" or notice.cves:
            releases = ((name, evr) for name, evr, _ in notice.packages)
            yield Advisory(
                id=notice.id,
                severity=read_severity(notice.severity),
                cves=notice.cves,
                published=notice.date,
                affected=tuple(
                    Affected("rpm", "", name, fixed=evr) for name, evr in dict.fromkeys(releases)
                ),
            )
