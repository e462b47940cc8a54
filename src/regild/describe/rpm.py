"""What rpm's database says: the installed packages, in each of the three formats it has had, and
the planning state.

The keys that rpm keeps among them (`gpg-pubkey`) are no software: they are keyrings of the planning
state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from regild.describe import rpm_bdb, rpm_ndb, rpm_sqlite
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.keyrings import find_certificates
from regild.describe.native import with_architecture
from regild.describe.rpm_relations import DESCRIPTION, Facts, read_facts, write_status
from regild.errors import Malformed, TooLarge
from regild.model.content import Keyring, Package, Planning, Platform, Unknown
from regild.model.purl import rpm_url
from regild.model.rpm_files import RpmPackage
from regild.model.rpm_header import Header, Tags

if TYPE_CHECKING:
    from regild.image.tree import Guest

FOLDERS = ("/usr/lib/sysimage/rpm", "/usr/share/rpm", "/var/lib/rpm")
"""Where distributions keep it; often one of them is a symlink to another."""
SQLITE, NDB, BERKELEY = "rpmdb.sqlite", "Packages.db", "Packages"

DATABASE_LIMIT = 256 << 20
"""A full desktop's database has about 150 MB."""
PACKAGES_LIMIT = 100_000

_KEYS = "gpg-pubkey"


def read_rpm(evidence: Evidence, known: Findings) -> Findings:
    """The packages of rpm's database and the planning state; what is damaged is Unknown, and then
    there is no planning state."""
    unknowns: list[Unknown] = []
    found: dict[tuple[str, str, str], Package] = {}
    facts: dict[tuple[str, str, str], Facts] = {}
    keys: dict[str, Keyring] = {}
    databases = _databases(evidence, unknowns)
    for path, read in databases:
        try:
            for where, blob in read(evidence, path):
                tags = Tags(blob, where)
                header = tags.identity
                if header.name == _KEYS:
                    keys.update(_key(header, tags))
                    continue
                package = _package(header, known.known_platform, path)
                key = (package.name, package.version, package.arch)
                found[key] = package
                facts[key] = read_facts(header, tags, where)
                if len(found) > PACKAGES_LIMIT:
                    raise TooLarge(where=path, why=f"it lists more than {PACKAGES_LIMIT} packages")
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    paths = tuple(path for path, _ in databases)
    if paths and not found and not unknowns and not known.databases:
        unknowns.append(Unknown(where=paths[0], why="the database lists no package"))
    platform = with_architecture(known.known_platform, found.values(), "rpm")
    native = (platform or known.known_platform).arch
    planning = _planning(facts, keys, native, unknowns) if facts and not known.planning else None
    return Findings(
        platform=platform,
        packages=tuple(found.values()),
        unknowns=tuple(unknowns),
        planning=planning if not unknowns else None,
        databases=paths if found or unknowns else (),
    )


def read_installed(guest: Guest) -> Iterator[RpmPackage]:
    """The packages of rpm's database by their headers; none where the guest has no such database.

    Raises: Malformed and the other errors of the tree where it cannot be read.
    """
    evidence = Evidence(guest)
    for path, read in _databases(evidence, []):
        for where, blob in read(evidence, path):
            package = RpmPackage(Tags(blob, where), where)
            if package.identity.name != _KEYS:
                yield package


def _planning(
    facts: dict[tuple[str, str, str], Facts],
    keys: dict[str, Keyring],
    native: str,
    unknowns: list[Unknown],
) -> Planning | None:
    """What a solver starts from; the keys are those that rpm itself trusts."""
    try:
        status = write_status(facts.values())
    except TooLarge as error:
        unknowns.append(unknown(error, error.where))
        return None
    return Planning(
        type="rpm",
        status=status,
        architectures=(native,) if native else (),
        keyrings=tuple(keys[path] for path in sorted(keys)),
    )


def _key(header: Header, tags: Tags) -> Iterator[tuple[str, Keyring]]:
    """A key that was imported into the database, under the name that rpm has for it."""
    name = f"{_KEYS}-{header.version}-{header.release}"
    for text in tags.texts(DESCRIPTION)[:1]:
        content = text.encode(errors="surrogateescape")
        if content and (certificates := find_certificates(content)) is not None:
            yield name, Keyring(path=name, keys=certificates)


Read = Callable[[Evidence, str], Iterator[tuple[str, bytes]]]


def _read_sqlite(evidence: Evidence, path: str) -> Iterator[tuple[str, bytes]]:
    content = evidence.find_bytes(path, DATABASE_LIMIT) or b""
    log = evidence.find_bytes(f"{path}-wal", DATABASE_LIMIT) or b""
    if evidence.find_bytes(f"{path}-journal", DATABASE_LIMIT):
        why = "a change to the database was interrupted, and its journal is not followed"
        raise Malformed(where=f"{path}-journal", why=why)
    return rpm_sqlite.read_headers(content, log, path)


def _read_ndb(evidence: Evidence, path: str) -> Iterator[tuple[str, bytes]]:
    return rpm_ndb.read_headers(evidence.find_bytes(path, DATABASE_LIMIT) or b"", path)


def _read_berkeley(evidence: Evidence, path: str) -> Iterator[tuple[str, bytes]]:
    return rpm_bdb.read_headers(evidence.find_bytes(path, DATABASE_LIMIT) or b"", path)


FORMATS: tuple[tuple[str, Read], ...] = (
    (SQLITE, _read_sqlite),
    (NDB, _read_ndb),
    (BERKELEY, _read_berkeley),
)
"""File name and reader, newest format first; each reader checks the magic."""


def _databases(evidence: Evidence, unknowns: list[Unknown]) -> list[tuple[str, Read]]:
    """Every database there is, each once; two formats in one folder are Unknown, the newer read."""
    real: list[tuple[str, Read]] = []
    linked: list[tuple[str, Read]] = []
    for folder in FOLDERS:
        try:
            here = [one for one in FORMATS if evidence.find(f"{folder}/{one[0]}")]
            if len(here) > 1:
                names = " and ".join(name for name, _ in here)
                unknowns.append(Unknown(where=folder, why=f"it holds two databases: {names}"))
            node = evidence.find(folder)
            into = linked if node is not None and node.kind == "symlink" else real
            into.extend((f"{folder}/{name}", read) for name, read in here[:1])
        except Unreadable as error:
            unknowns.append(unknown(error, folder))
    return real or linked[:1]


def _package(header: Header, platform: Platform, path: str) -> Package:
    arch = "" if header.arch == "(none)" else header.arch
    release = f"{header.version}-{header.release}"
    source, source_version = _source(header)
    return Package(
        type="rpm",
        name=header.name,
        version=header.evr,
        arch=arch,
        source=source,
        source_version=source_version,
        purl=rpm_url(header.name, release, header.epoch, arch, platform),
        where=path,
    )


def _source(header: Header) -> tuple[str, str]:
    """Name and version of the source package, by the file that it came in."""
    stem = header.source_rpm.removesuffix(".rpm").removesuffix(".src").removesuffix(".nosrc")
    parts = stem.rsplit("-", 2)
    if len(parts) != 3 or not all(parts):
        return header.name, f"{header.version}-{header.release}"
    return parts[0], f"{parts[1]}-{parts[2]}"
