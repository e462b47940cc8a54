"""Programs from the stores beside the package manager, by name: snaps and flatpaks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.model.content import Application, Unknown

SNAPS = "/var/lib/snapd/snaps"
FLATPAKS = ("/var/lib/flatpak/app", "/var/lib/flatpak/runtime")

_SNAP = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})_x?([0-9]{1,9})\.snap")
_FLATPAK = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){1,30}")


def read_stores(evidence: Evidence, known: Findings) -> Findings:
    """Applications of snap and flatpak."""
    unknowns: list[Unknown] = []
    applications: list[Application] = []
    for path, list_ in ((SNAPS, _snaps), *((path, _flatpaks) for path in FLATPAKS)):
        try:
            applications.extend(list_(evidence, path))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    return Findings(applications=tuple(applications), unknowns=tuple(unknowns))


def _snaps(evidence: Evidence, folder: str) -> Iterator[Application]:
    """Each snap once; its file says a revision and no version."""
    newest: dict[str, tuple[int, str]] = {}
    for name in evidence.names(folder):
        snap = _SNAP.fullmatch(name)
        if snap:
            newest[snap[1]] = max(newest.get(snap[1], (-1, "")), (int(snap[2]), name))
    for name, (_, file) in newest.items():
        yield Application(name=name, version="", where=f"{folder}/{file}")


def _flatpaks(evidence: Evidence, folder: str) -> Iterator[Application]:
    for name in evidence.names(folder):
        if _FLATPAK.fullmatch(name):
            yield Application(name=name, version="", where=f"{folder}/{name}")
