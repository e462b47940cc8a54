"""A descriptor as the bytes of its section (the content descriptor, clauses 7 to 12; W1, W2).

Pure ASCII, so that the section is right in whatever encoding the envelope has, and every namespace
is declared on the section itself, because vSphere keeps it as a fragment.
"""

from __future__ import annotations

import hashlib
import itertools
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from regild.model.appliance import Binding, Descriptor, Maintenance, ReceiptReference
from regild.model.content import Package, Planning, Platform, Source, Unknown, VolumeSpace, Witness
from regild.model.digest import Digest
from regild.model.uri import without_credentials
from regild.ovf import names
from regild.ovf.letters import to_letters, to_words
from regild.ovf.markup import escape
from regild.ovf.planning_state import ENCODING, pack_planning

SCHEMA_VERSION: Final = "1.0"
MAX_SECTION: Final = 896 << 10
"""The whole .ovf has to stay under 1 MiB (W7); the rest is left to the package itself."""

Attributes = dict[str, str | None]


def write_section(descriptor: Descriptor, ovf_namespace: str) -> bytes:
    """The section of a descriptor, for an envelope of the given OVF namespace.

    Where the section would be larger than `MAX_SECTION`, the planning state is left out, and an
    Unknown says so.

    Raises: Malformed when a string cannot be written.
    """
    section = _section(descriptor, ovf_namespace)
    if len(section) <= MAX_SECTION or descriptor.content.planning == Planning():
        return section
    why = f"left out, because the section would hold {len(section)} bytes"
    unknowns = (*descriptor.content.unknowns, Unknown(where="planning state", why=why))
    content = msgspec.structs.replace(descriptor.content, planning=Planning(), unknowns=unknowns)
    return _section(msgspec.structs.replace(descriptor, content=content), ovf_namespace)


def _section(descriptor: Descriptor, ovf_namespace: str) -> bytes:
    content = descriptor.content
    lines = [
        b'<rg:%s xmlns:rg="%s" xmlns:ovf="%s" ovf:required="false" schemaVersion="%s">'
        % (
            names.SECTION.encode(),
            names.CONTENT.encode(),
            ovf_namespace.encode(),
            SCHEMA_VERSION.encode(),
        ),
        b"  <ovf:Info>" + escape(to_letters(summary_of(descriptor))) + b"</ovf:Info>",
        _element("Image", _image(descriptor)),
        _element("Platform", _platform(content.platform)),
        *_packages(content.packages),
        *_planning(content.planning),
        *(_element("Source", _source(source)) for source in content.sources),
        *(
            _element("Application", msgspec.structs.asdict(application))
            for application in content.applications
        ),
        *(_element("Unknown", {"where": one.where, "why": one.why}) for one in content.unknowns),
        _bom(descriptor),
        *_receipt(descriptor.receipt),
        *(_element("Binding", _binding(binding)) for binding in descriptor.bindings),
        *(_element("Witness", _witness(witness)) for witness in content.witnesses),
        *(_element("VolumeSpace", _volume(volume)) for volume in content.volumes),
        *_maintenance(descriptor.maintenance),
        b"</rg:%s>" % names.SECTION.encode(),
    ]
    return b"\n".join(lines)


def summary_of(descriptor: Descriptor) -> str:
    """The sentence of `Info`, which consumers show that do not know the section."""
    platform = descriptor.content.platform
    system = platform.name or " ".join(filter(None, (platform.id, platform.version)))
    day = descriptor.created.partition("T")[0]
    described = " ".join(
        part
        for part in (
            "described" if day or descriptor.tool else "",
            day,
            f"by {descriptor.tool}" if descriptor.tool else "",
        )
        if part
    )
    count = len(descriptor.content.packages)
    counted = f"{count} package" if count == 1 else f"{count} packages"
    return ", ".join(part for part in (system or "Unknown system", counted, described) if part)


def row_digest(rows: Iterable[dict[str, str]]) -> Digest:
    """The digest of a package list: of its rows in ascending order of their bytes.

    A row is the attributes of a `Package` in ascending order of their names, each as name, value
    and a zero byte between and behind them, and a line feed at the end.
    """
    lines = sorted(
        b"".join(f"{name}\0{row[name]}\0".encode() for name in sorted(row)) + b"\n" for row in rows
    )
    return Digest("sha256:" + hashlib.sha256(b"".join(lines)).hexdigest())


PLAIN: Final = frozenset(f"{string.ascii_letters}{string.digits}_.-~:")
"""Letters that stand in a package URL as they are."""


def expand_purl(pattern: str, name: str, version: str, arch: str) -> str:
    """The package URL that a pattern with {name}, {version} and {arch} stands for."""
    for word, value in (("{name}", name), ("{version}", version), ("{arch}", arch)):
        if not PLAIN.issuperset(value):
            value = quote(value, safe=":~")
        pattern = pattern.replace(word, value)
    return pattern


def _packages(packages: Sequence[Package]) -> Iterator[bytes]:
    """One `Packages` element for each stretch of one type, so that the order stays."""
    for kind, stretch in itertools.groupby(packages, key=lambda package: package.type):
        group = tuple(stretch)
        pattern, where = _purl_pattern(group[0]), group[0].where
        rows = [_written(_package(package, pattern, where)) for package in group]
        attributes: Attributes = {
            "type": kind,
            "count": str(len(group)),
            "state": row_digest(rows),
            "purl": pattern or None,
            "where": where or None,
        }
        yield _tag("Packages", _written(attributes), b">")
        yield from (b"  " + _tag("Package", row, b"/>") for row in rows)
        yield b"  </rg:Packages>"


def _package(package: Package, pattern: str, where: str) -> Attributes:
    usual = expand_purl(pattern, package.name, package.version, package.arch)
    return {
        "name": package.name,
        "version": package.version,
        "arch": package.arch or None,
        "source": _unless(package.source, package.name),
        "sourceVersion": _unless(package.source_version, package.version),
        "purl": _unless(package.purl, usual),
        "state": _unless(package.state, "installed"),
        "hold": "true" if package.hold else None,
        "auto": "true" if package.auto else None,
        "where": _unless(package.where, where),
    }


def _unless(value: str, usual: str) -> str | None:
    """A value that is written only where it is not what its absence means."""
    return None if value == usual else value


def _purl_pattern(package: Package) -> str:
    """A pattern that gives a package's own package URL, and likely those of its neighbours."""
    if any(brace in package.purl for brace in "{}"):
        return ""
    pattern = package.purl
    for before, value, behind in (
        ("/", package.name, "@"),
        ("@", package.version, ""),
        ("arch=", package.arch, ""),
    ):
        word = {"/": "{name}", "@": "{version}", "arch=": "{arch}"}[before]
        written = quote(value, safe=":~")
        if written:
            pattern = pattern.replace(before + written + behind, before + word + behind, 1)
    made = expand_purl(pattern, package.name, package.version, package.arch)
    return pattern if made == package.purl else ""


def _planning(planning: Planning) -> Iterator[bytes]:
    if planning == Planning():
        return
    text, digest, size = pack_planning(planning)
    attributes: Attributes = {
        "type": planning.type,
        "encoding": ENCODING,
        "digest": digest,
        "bytes": str(size),
    }
    yield _tag("PlanningState", _written(attributes), b">")
    yield text.encode()
    yield b"  </rg:PlanningState>"


def _image(descriptor: Descriptor) -> Attributes:
    return {
        "line": descriptor.line,
        "generation": str(descriptor.generation) if descriptor.generation else None,
        "parent": descriptor.parent,
        "created": descriptor.created,
        "tool": descriptor.tool,
    }


def _platform(platform: Platform) -> Attributes:
    return {
        "family": platform.family,
        "distro": platform.id,
        "release": platform.version,
        "codename": platform.codename,
        "name": platform.name,
        "arch": platform.arch,
        "kernels": to_words(platform.kernels),
        "edition": platform.edition,
        "build": platform.build,
        "ubr": str(platform.ubr) if platform.ubr else None,
    }


def _source(source: Source) -> Attributes:
    return {
        "type": source.type,
        "uri": without_credentials(source.uri),
        "suite": source.suite,
        "components": to_words(source.components),
        "architectures": to_words(source.architectures),
        "signedBy": to_words(source.signed_by),
        "enabled": None if source.enabled else "false",
        "trusted": "true" if source.trusted else None,
        "options": to_words(source.options),
        "where": source.where,
    }


def _receipt(receipt: ReceiptReference) -> Iterator[bytes]:
    if receipt.name:
        yield _element("Receipt", {"ref": receipt.name, "digest": receipt.digest})


def _bom(descriptor: Descriptor) -> bytes:
    bom = descriptor.bom
    attributes: Attributes = {
        "location": bom.location,
        "ref": bom.name,
        "mediaType": bom.media_type,
        "digest": bom.digest,
    }
    return _element("Bom", attributes)


def _binding(binding: Binding) -> Attributes:
    return {
        "disk": binding.disk,
        "stored": binding.stored,
        "virtual": binding.virtual,
        "virtualBytes": str(binding.virtual_bytes) if binding.virtual_bytes else None,
    }


def _witness(witness: Witness) -> Attributes:
    return {
        "volume": witness.volume,
        "path": witness.path,
        "digest": witness.digest,
        "bytes": str(witness.bytes),
    }


def _volume(volume: VolumeSpace) -> Attributes:
    return {
        "mount": volume.mount,
        "volume": volume.volume,
        "filesystem": volume.filesystem,
        "blockBytes": str(volume.block_bytes),
        "blocks": str(volume.blocks),
        "freeBlocks": str(volume.free_blocks),
        "reservedBlocks": str(volume.reserved_blocks),
        "freeInodes": str(volume.free_inodes),
        "dirty": "true" if volume.dirty else None,
    }


def _maintenance(maintenance: Maintenance) -> Iterator[bytes]:
    if maintenance != Maintenance():
        attributes: Attributes = {
            "methods": to_words(maintenance.methods),
            "holds": to_words(maintenance.holds),
            "tests": to_words(maintenance.tests),
            "reboot": maintenance.reboot,
        }
        yield _element("Maintenance", attributes)


def _written(attributes: Attributes) -> dict[str, str]:
    """The attributes that are there, in letters that XML can hold."""
    return {name: to_letters(value) for name, value in attributes.items() if value is not None}


def _element(name: str, attributes: Attributes) -> bytes:
    """An element without children; an empty attribute says the same as none."""
    filled = {name: value or None for name, value in attributes.items()}
    return _tag(name, _written(filled), b"/>")


def _tag(name: str, attributes: dict[str, str], end: bytes) -> bytes:
    parts = [f"  <rg:{name}".encode()]
    parts += [name.encode() + b'="' + escape(value) + b'"' for name, value in attributes.items()]
    return b" ".join(parts) + end
