"""KEV: the catalogue of weaknesses that are known to be used in attacks (CISA, JSON)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regild.model.advisory import Advisory


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One weakness of the catalogue."""

    cve_id: str = msgspec.field(name="cveID")
    date_added: str = ""
    vulnerability_name: str = ""


class Catalogue(msgspec.Struct, frozen=True, rename="camel"):
    """The whole catalogue."""

    catalog_version: str
    date_released: str
    vulnerabilities: list[Row]


def read_kev(text: bytes) -> Iterator[Advisory]:
    """Every weakness of the catalogue; it speaks of no package.

    Raises: msgspec.DecodeError.
    """
    found = msgspec.json.decode(text, type=Catalogue)
    for row in found.vulnerabilities:
        yield Advisory(
            id=row.cve_id,
            cves=(row.cve_id,),
            title=row.vulnerability_name,
            published=row.date_added,
            exploited=True,
        )
