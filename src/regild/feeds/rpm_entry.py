"""What an index says of a package of rpm, written down from the package file itself (createrepo_c's
primary.xml, without what names the file)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from regild.errors import Malformed, PlanMoved
from regild.feeds.rpm import trust_of
from regild.feeds.rpm_available import Options, RpmAvailable
from regild.feeds.rpm_file import check_package, open_package
from regild.feeds.shipped import Shipped, ShippedPackage
from regild.model.content import Content
from regild.model.digest import Digest
from regild.model.plan import Step
from regild.model.rpm_files import RpmFile, RpmPackage
from regild.model.rpm_header import Header, Tags
from regild.model.rpm_tags import OF_RPM, RELATIONS

COMPARISONS = {2: "LT", 4: "GT", 8: "EQ", 10: "LE", 12: "GE"}
PRE = 1 << 6 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Flags of what has to be there before a script runs (RPMSENSE_PREREQ, _INTERP and _SCRIPT_*)."""
VENDOR = 1011


def read_entry(
    path: Path, step: Step, content: Content, available: RpmAvailable, now: datetime
) -> str:
    """What an index says of a package file, once the file is believed as its repository asks:
    where packages are to be signed, by a key of the image's own.

    Raises: BadSignature, UnknownKey, PlanMoved where it is another package than the plan's,
    Malformed, Truncated, TooLarge.
    """
    where = step.archive.name if step.archive else step.name
    source = available.source_of(step)
    if Options(source).gpgcheck:
        trust = trust_of(source, content.planning.keyrings, database=True)
        check_package(path, trust, now, where)
    package = open_package(path)
    found = package.identity
    if (found.name, found.evr, found.arch) != (step.name, step.becomes, step.arch):
        why = f"the file is {found.name}-{found.evr}.{found.arch}"
        raise PlanMoved(where=where, why=why)
    return primary_entry(package)


def read_shipped(path: Path, name: str, arch: str) -> ShippedPackage:
    """Everything that a package file puts into a guest, by its header.

    Raises: Malformed, Truncated, TooLarge.
    """
    paths = (_shipped(one) for one in open_package(path).files() if not one.is_ghost)
    return ShippedPackage(name, arch, tuple(paths), "rpm")


def _shipped(one: RpmFile) -> Shipped:
    known = one.algorithm == "sha256" and one.digest
    return Shipped(
        one.path,
        one.kind,
        mode=one.mode,
        bytes=one.bytes,
        digest=Digest(f"sha256:{one.digest}") if known else None,
        target=one.target,
        is_roots=one.user == one.group == "root",
        is_config=one.is_config,
    )


def primary_entry(package: RpmPackage) -> str:
    """The inside of a package's element in primary.xml, without checksum, size and location.

    Raises: Malformed.
    """
    header, tags = package.identity, package.tags
    vendor = (tags.texts(VENDOR) or [""])[0]
    parts = [
        f"<name>{_text(header.name)}</name><arch>{_text(header.arch)}</arch>",
        f"<version {_version(header)}/><summary/><description/><packager/><url/>",
        f'<time file="0" build="0"/><format><rpm:license/><rpm:vendor>{_text(vendor)}</rpm:vendor>',
        f"<rpm:sourcerpm>{_text(header.source_rpm)}</rpm:sourcerpm>",
        *_relations(tags),
        *(f"<file>{_text(path)}</file>" for path in package.paths()),
        "</format>",
    ]
    return "".join(parts)


def _version(header: Header) -> str:
    parts = {"epoch": str(header.epoch), "ver": header.version, "rel": header.release}
    return " ".join(f"{name}={_quoted(text)}" for name, text in parts.items())


def _relations(tags: Tags) -> Iterator[str]:
    for field, names, flags, versions in RELATIONS:
        told = list(_entries(tags.texts(names), tags.numbers(flags), tags.texts(versions)))
        if told:
            element = f"rpm:{field.lower()}"
            yield f"<{element}>{''.join(dict.fromkeys(told))}</{element}>"


def _entries(names: Sequence[str], flags: Sequence[int], versions: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        if not name or name.startswith(OF_RPM):
            continue
        flag = flags[number] if number < len(flags) else 0
        version = versions[number] if number < len(versions) else ""
        told = f"name={_quoted(name)}"
        if version and (comparison := COMPARISONS.get(flag & 14)):
            told += f' flags="{comparison}" {_evr(version)}'
        before = ' pre="1"' if flag & PRE else ""
        yield f"<rpm:entry {told}{before}/>"


def _evr(version: str) -> str:
    """Epoch, version and release of a relation; what it does not name is left out."""
    epoch, colon, rest = version.rpartition(":")
    plain, _, release = rest.partition("-")
    told = f"epoch={_quoted(epoch if colon else '0')} ver={_quoted(plain)}"
    return f"{told} rel={_quoted(release)}" if release else told


def _text(text: str) -> str:
    return escape(_plain(text))


def _quoted(text: str) -> str:
    return quoteattr(_plain(text))


def _plain(text: str) -> str:
    """A text that XML can hold.

    Raises: Malformed.
    """
    if not text.isprintable():
        raise Malformed(where="the package", why=f"{text[:60]!r} in its header is not plain text")
    return text
