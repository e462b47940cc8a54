"""Package databases of other families, recognised by their place so that a guest that has one is
never taken for empty."""

from __future__ import annotations

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.model.content import Unknown

PLACES = (
    ("/var/lib/rpm", "rpm"),
    ("/usr/lib/sysimage/rpm", "rpm"),
    ("/usr/share/rpm", "rpm"),
    ("/lib/apk/db/installed", "apk"),
    ("/usr/lib/apk/db/installed", "apk"),
    ("/var/lib/pacman/local", "pacman"),
    ("/var/db/pkg", "portage"),
    ("/Windows/System32/config/SOFTWARE", "the Windows registry"),
    ("/System/Library/CoreServices/SystemVersion.plist", "macOS"),
)
"""Where the databases lie that this release does not read."""

RPM_FILES = ("Packages", "Packages.db", "rpmdb.sqlite")
"""A folder for rpm without one of these is empty; Debian's rpm tool makes such a folder."""


def read_foreign(evidence: Evidence, known: Findings) -> Findings:
    """An Unknown for each database that regild cannot read."""
    found: dict[str, Unknown] = {}
    for path, family in PLACES:
        try:
            if _is_there(evidence, path, family):
                why = f"the packages of {family} cannot be read by this release"
                found[path] = Unknown(where=path, why=why)
        except Unreadable as error:
            found[path] = unknown(error, path)
    return Findings(unknowns=tuple(found.values()), databases=tuple(found))


def _is_there(evidence: Evidence, path: str, family: str) -> bool:
    if family == "rpm":
        return any(evidence.find(f"{path}/{name}") for name in RPM_FILES)
    return evidence.find(path) is not None
