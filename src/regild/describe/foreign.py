"""Package databases of other families, recognised by their place so that a guest that has one is
never taken for empty."""

from __future__ import annotations

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.model.content import Unknown

PLACES = (("/var/db/pkg", "portage"),)
"""Where the databases lie that this release does not read."""


def read_foreign(evidence: Evidence, known: Findings) -> Findings:
    """An Unknown for each database that regild cannot read."""
    found: dict[str, Unknown] = {}
    for path, family in PLACES:
        try:
            if evidence.find(path) is not None:
                why = f"the packages of {family} cannot be read by this release"
                found[path] = Unknown(where=path, why=why)
        except Unreadable as error:
            found[path] = unknown(error, path)
    return Findings(unknowns=tuple(found.values()), databases=tuple(found))
