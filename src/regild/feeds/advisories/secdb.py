"""Alpine's secdb: which revision of each source package fixed which CVEs, one file for each release
and repository (Alpine's security database, JSON)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regild.feeds.advisories.words import CVE
from regild.model.advisory import Advisory, Affected, Status


class Package(msgspec.Struct, frozen=True):
    """A source package and its fixes."""

    name: str
    secfixes: dict[str, list[str] | None] = {}


class Entry(msgspec.Struct, frozen=True):
    """One row of `packages`."""

    pkg: Package


class Document(msgspec.Struct, frozen=True):
    """One file of the database."""

    distroversion: str
    packages: list[Entry]
    reponame: str = ""


def read_secdb(text: bytes) -> Iterator[Advisory]:
    """Every fix of a file.

    Raises: msgspec.DecodeError.
    """
    found = msgspec.json.decode(text, type=Document)
    ecosystem = f"alpine-{found.distroversion.removeprefix('v')}"
    for entry in found.packages:
        for version, rows in entry.pkg.secfixes.items():
            # One row may hold several ids of the same weakness: `CVE-2019-1 XSA-2`.
            for ids in filter(None, (row.split() for row in rows or ())):
                # Version 0 says that the package never had it.
                status: Status = "not affected" if version == "0" else "affected"
                yield Advisory(
                    id=ids[0],
                    cves=tuple(one for one in ids if CVE.fullmatch(one)),
                    affected=(
                        Affected(
                            "apk",
                            ecosystem,
                            entry.pkg.name,
                            "source",
                            status,
                            fixed="" if version == "0" else version,
                        ),
                    ),
                )
