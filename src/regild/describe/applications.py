"""Software that the guest's package manager does not own: folders of /opt.

What says no version of its own is listed without one; nothing is guessed from program files.
"""

from __future__ import annotations

import re

from regild.describe.dpkg import FOLDER
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import TooLarge
from regild.model.content import Application, Unknown

OPT = "/opt"
VERSION_FILES = ("VERSION", "version", "VERSION.txt", "version.txt", "RELEASE")
VERSION_LIMIT = 4096
LISTS_LIMIT = 256 << 20
"""All file lists of dpkg together; a full desktop has about 40 MB of them."""
FOLDERS_LIMIT = 500

_VERSION = re.compile(r"[vV]?([0-9][A-Za-z0-9.+~_-]{0,63})")
_NAMED = re.compile(r"(.+?)[-_]v?([0-9]+(?:\.[0-9A-Za-z+~]+)+)")


def read_applications(evidence: Evidence, known: Findings) -> Findings:
    """The folders of /opt that no package owns."""
    unknowns: list[Unknown] = []
    applications: list[Application] = []
    folders = _unowned(evidence, unknowns)
    for name in folders:
        try:
            applications.append(_application(evidence, name))
        except Unreadable as error:
            unknowns.append(unknown(error, f"{OPT}/{name}"))
    return Findings(applications=tuple(applications), unknowns=tuple(unknowns))


def _unowned(evidence: Evidence, unknowns: list[Unknown]) -> list[str]:
    """The folders of /opt that no package of dpkg has files in."""
    try:
        names = [name for name in evidence.names(OPT) if _is_folder(evidence, f"{OPT}/{name}")]
        if len(names) > FOLDERS_LIMIT:
            raise TooLarge(where=OPT, why=f"it holds more than {FOLDERS_LIMIT} folders")
        owned = _owned(evidence) if names else frozenset()
    except Unreadable as error:
        unknowns.append(unknown(error, OPT))
        return []
    strange = [name for name in names if not name.isprintable()]
    if strange:
        why = f"the names of {len(strange)} folders in it are not text"
        unknowns.append(Unknown(where=OPT, why=why))
    return [name for name in names if name not in owned and name not in strange]


def _owned(evidence: Evidence) -> frozenset[str]:
    """The names in /opt that dpkg's file lists speak of; read only where /opt has folders."""
    owned: set[str] = set()
    start = f"{OPT}/".encode()
    room = LISTS_LIMIT
    for name in evidence.names(f"{FOLDER}/info"):
        if not name.endswith(".list"):
            continue
        content = evidence.peek(f"{FOLDER}/info/{name}", room)
        room -= len(content)
        if start in content:
            lines = (line for line in content.split(b"\n") if line.startswith(start))
            owned.update(line.split(b"/")[2].decode(errors="surrogateescape") for line in lines)
    return frozenset(owned)


def _is_folder(evidence: Evidence, path: str) -> bool:
    node = evidence.find(path)
    return node is not None and node.kind == "directory"


def _application(evidence: Evidence, name: str) -> Application:
    """A folder of /opt with the version that a file in it or its own name states."""
    path = f"{OPT}/{name}"
    present = evidence.names(path)
    for file in VERSION_FILES:
        if file not in present or _is_folder(evidence, f"{path}/{file}"):
            continue
        content = evidence.find_bytes(f"{path}/{file}", VERSION_LIMIT) or b""
        words = content.decode(errors="replace").split()
        stated = _VERSION.fullmatch(words[0]) if words else None
        if stated:
            return Application(name=name, version=stated[1], where=f"{path}/{file}")
    named = _NAMED.fullmatch(name)
    if named:
        return Application(name=named[1], version=named[2], where=path)
    return Application(name=name, version="", where=path)
