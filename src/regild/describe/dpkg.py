"""What dpkg's database says (dpkg(1), deb-control(5)): packages, holds, marks, architectures, and
the reduced status that a solver starts from.

Read are `status`, the records of an interrupted run in `updates/`, the folder `status.d` of images
without dpkg, `arch`, and apt's `extended_states`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed
from regild.model.content import Package, Planning, Platform, Unknown
from regild.model.deb822 import Paragraph, folded, read_paragraphs
from regild.model.purl import debian_url

FOLDER = "/var/lib/dpkg"
STATUS = f"{FOLDER}/status"
UPDATES = f"{FOLDER}/updates"
STATUS_FOLDER = f"{FOLDER}/status.d"
ARCHITECTURES = f"{FOLDER}/arch"
EXTENDED_STATES = "/var/lib/apt/extended_states"

STATUS_LIMIT = 64 << 20
"""Every package of Debian installed at once would take about 60 MB."""
SMALL_LIMIT = 1 << 20

FIELDS = (
    "Package",
    "Status",
    "Priority",
    "Essential",
    "Important",
    "Protected",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Installed-Size",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Replaces",
    "Provides",
    "Enhances",
)
"""The fields of deb-control(5) that decide what a solver does, in `Planning.status`'s order."""

ABSENT_STATES = ("not-installed", "config-files")
"""The states of dpkg(1) in which none of a package's files is there."""

WORDS = (
    frozenset(("unknown", "install", "hold", "deinstall", "purge")),
    frozenset(("ok", "reinstreq")),
    frozenset(
        (
            *ABSENT_STATES,
            "half-installed",
            "unpacked",
            "half-configured",
            "triggers-awaited",
            "triggers-pending",
            "installed",
        )
    ),
)
"""What the three words of a Status may be: wanted, flag, state (dpkg(1))."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,254}")
_ARCH = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SOURCE = re.compile(rf"({_NAME.pattern})(?: \(({_VERSION.pattern})\))?")
_UPDATE = re.compile(r"[0-9]{1,9}")

Key = tuple[str, str]
"""A package's name and architecture."""


class _Entry(NamedTuple):
    """One package as the database has it."""

    fields: dict[str, str]
    want: str
    flag: str
    state: str
    where: str


def read_dpkg(evidence: Evidence, known: Findings) -> Findings:
    """The packages of dpkg's database and the planning state; what is damaged is Unknown, and then
    there is no planning state."""
    unknowns: list[Unknown] = []
    entries = _read_status(evidence, unknowns)
    bare = _read_folder(evidence, unknowns)
    if entries is None and not bare and not unknowns:
        return Findings()
    whole = {**bare, **(entries or {})}
    if not whole and not unknowns:
        unknowns.append(Unknown(where=STATUS, why="the database lists no package"))
    architectures = _read_architectures(evidence, whole, unknowns)
    native = architectures[0] if architectures else ""
    auto = _read_marks(evidence, whole, native, unknowns)
    platform = replace(known.known_platform, arch=native)
    planning = Planning(
        type="deb",
        status="\n".join(_reduced(whole)),
        auto=auto,
        architectures=architectures,
    )
    return Findings(
        platform=platform,
        packages=tuple(_packages(whole, platform, native, frozenset(auto))),
        unknowns=tuple(unknowns),
        planning=planning if entries and not unknowns else None,
        databases=(STATUS,),
    )


def _read_status(evidence: Evidence, unknowns: list[Unknown]) -> dict[Key, _Entry] | None:
    """The entries of the status file with those of an interrupted run laid over them; None where
    there is no status file."""
    entries: dict[Key, _Entry] = {}
    try:
        content = evidence.find_bytes(STATUS, STATUS_LIMIT)
        if content is None:
            return None
        for entry in _entries(content, STATUS):
            key = _key(entry)
            if key in entries:
                raise Malformed(where=entry.where, why=f"it lists {':'.join(key)} a second time")
            entries[key] = entry
        names = [name for name in evidence.names(UPDATES) if _UPDATE.fullmatch(name)]
        for path, content in _contents(evidence, UPDATES, names):
            entries.update((_key(entry), entry) for entry in _entries(content, path))
    except Unreadable as error:
        unknowns.append(unknown(error, STATUS))
    return entries


def _read_folder(evidence: Evidence, unknowns: list[Unknown]) -> dict[Key, _Entry]:
    """The entries of `status.d`, whose packages are all installed."""
    entries: dict[Key, _Entry] = {}
    try:
        names = [name for name in evidence.names(STATUS_FOLDER) if not name.endswith(".md5sums")]
        for path, content in _contents(evidence, STATUS_FOLDER, names):
            found = _entries(content, path, status="install ok installed")
            entries.update((_key(entry), entry) for entry in found)
    except Unreadable as error:
        unknowns.append(unknown(error, STATUS_FOLDER))
    return entries


def _contents(evidence: Evidence, folder: str, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The named files of a folder, together within `STATUS_LIMIT`."""
    room = STATUS_LIMIT
    for name in names:
        content = evidence.find_bytes(f"{folder}/{name}", room) or b""
        room -= len(content)
        yield f"{folder}/{name}", content


def _entries(content: bytes, path: str, status: str = "") -> Iterator[_Entry]:
    """The entries of one file, checked; `status` is for files that state none."""
    for paragraph in read_paragraphs(content, FIELDS, path):
        yield _entry(paragraph, f"{path}:{paragraph.line}", status)


def _entry(paragraph: Paragraph, where: str, status: str) -> _Entry:
    fields = {name: folded(value) for name, value in paragraph.fields.items()}
    if status:
        fields["Status"] = status
    words = fields.get("Status", "").split(" ")
    if len(words) != 3 or any(word not in WORDS[i] for i, word in enumerate(words)):
        raise Malformed(where=where, why="its Status is not one that dpkg knows")
    present = words[2] not in ABSENT_STATES
    _check_field(_NAME, fields, "Package", where)
    if present or "Version" in fields:
        _check_field(_VERSION, fields, "Version", where)
    if present or "Architecture" in fields:
        _check_field(_ARCH, fields, "Architecture", where)
    if "Source" in fields:
        _check_field(_SOURCE, fields, "Source", where)
    for name, value in fields.items():
        if not value.isprintable():
            raise Malformed(where=where, why=f"its {name} holds control characters")
    want, flag, state = words
    return _Entry(fields, want, flag, state, where)


def _check_field(pattern: re.Pattern[str], fields: dict[str, str], name: str, where: str) -> None:
    if not pattern.fullmatch(fields.get(name, "")):
        raise Malformed(where=where, why=f"its {name} is missing or not valid")


def _key(entry: _Entry) -> Key:
    return entry.fields["Package"], entry.fields.get("Architecture", "")


def _read_architectures(
    evidence: Evidence, entries: dict[Key, _Entry], unknowns: list[Unknown]
) -> tuple[str, ...]:
    """The native architecture first, then the foreign ones as dpkg lists them."""
    try:
        content = evidence.find_bytes(ARCHITECTURES, SMALL_LIMIT) or b""
        listed = content.decode().split()
        if not all(_ARCH.fullmatch(arch) for arch in listed):
            raise Malformed(where=ARCHITECTURES, why="it holds what is not an architecture")
    except UnicodeDecodeError:
        listed = []
        unknowns.append(Unknown(where=ARCHITECTURES, why="it is not text"))
    except Unreadable as error:
        listed = []
        unknowns.append(unknown(error, ARCHITECTURES))
    native = _native(entries) or (listed[0] if listed else "")
    return tuple(dict.fromkeys(arch for arch in (native, *listed) if arch))


def _native(entries: Iterable[Key]) -> str:
    """The architecture of dpkg itself, which is the native one; else the most frequent one."""
    counted: dict[str, int] = {}
    for name, arch in entries:
        if name == "dpkg" and arch not in ("", "all"):
            return arch
        if arch not in ("", "all"):
            counted[arch] = counted.get(arch, 0) + 1
    return max(sorted(counted), key=lambda arch: counted[arch], default="")


def _read_marks(
    evidence: Evidence, entries: dict[Key, _Entry], native: str, unknowns: list[Unknown]
) -> tuple[str, ...]:
    """`name:arch` of what is installed only for another's sake; apt writes the native architecture
    for packages of architecture `all`."""
    marked: set[str] = set()
    try:
        content = evidence.find_bytes(EXTENDED_STATES, STATUS_LIMIT) or b""
        wanted = ("Package", "Architecture", "Auto-Installed")
        for paragraph in read_paragraphs(content, wanted, EXTENDED_STATES):
            name = paragraph.fields.get("Package", "")
            arch = paragraph.fields.get("Architecture", native)
            arch = native if arch == "all" else arch
            installed = (name, arch) in entries or (arch == native and (name, "all") in entries)
            if installed and paragraph.fields.get("Auto-Installed") == "1":
                marked.add(f"{name}:{arch}")
    except Unreadable as error:
        unknowns.append(unknown(error, EXTENDED_STATES))
    return tuple(sorted(marked))


def _packages(
    entries: dict[Key, _Entry], platform: Platform, native: str, auto: frozenset[str]
) -> Iterator[Package]:
    for (name, arch), entry in sorted(entries.items()):
        if entry.state in ABSENT_STATES:
            continue
        source, source_version = _source(entry.fields)
        version = entry.fields["Version"]
        yield Package(
            type="deb",
            name=name,
            version=version,
            arch=arch,
            source=source,
            source_version=source_version,
            purl=debian_url(name, version, arch, platform),
            state=entry.state if entry.flag == "ok" else entry.flag,
            hold=entry.want == "hold",
            auto=f"{name}:{native if arch == 'all' else arch}" in auto,
            where=entry.where.rpartition(":")[0],
        )


def _source(fields: dict[str, str]) -> tuple[str, str]:
    """Name and version of the source package; both are the package's own where it states none."""
    match = _SOURCE.fullmatch(fields.get("Source", ""))
    if match is None:
        return fields["Package"], fields["Version"]
    return match[1], match[2] or fields["Version"]


def _reduced(entries: dict[Key, _Entry]) -> Iterator[str]:
    """The paragraphs that matter to a solver, sorted: what is there, and what is held away."""
    for _, entry in sorted(entries.items()):
        if entry.state in ABSENT_STATES and entry.want != "hold":
            continue
        lines = (f"{name}: {entry.fields[name]}\n" for name in FIELDS if name in entry.fields)
        yield "".join(lines)
