"""Rules about the tar file of an OVA (DSP0243, 5.3; W5, R6)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from regild.ovf import tar
from regild.ovf.lint.survey import Survey

Spot = tuple[str, str]
"""Where something is wrong, and what stands there."""

OVIRT: Final = "http://www.ovirt.org/ovf"
"""A namespace that only oVirt's own exports declare."""


def is_junk(name: str) -> bool:
    """Whether a member is what macOS and some tars leave behind, and no file of the package."""
    return name.rpartition("/")[2].startswith("._") or name.startswith("PaxHeader")


def envelope_first(survey: Survey) -> Iterator[Spot]:
    """The .ovf is the first file."""
    names = [one.name.removeprefix("./") for one in _files(survey)]
    if names and names[0] != survey.envelope_name:
        yield survey.path.name, f"{names[0]} comes before {survey.envelope_name}"


def one_envelope(survey: Survey) -> Iterator[Spot]:
    """No second member looks like an envelope."""
    for entry in _files(survey):
        name = entry.name.removeprefix("./")
        if name.lower().endswith(".ovf") and name != survey.envelope_name and not is_junk(name):
            yield survey.path.name, name


def no_pax_header(survey: Survey) -> Iterator[Spot]:
    """No extension headers of POSIX 2001."""
    found = [entry for entry in survey.entries if entry.kind in tar.PAX]
    if found:
        yield survey.path.name, f"{len(found)}, the first at byte {found[0].offset - tar.BLOCK}"


def no_gnu_name(survey: Survey) -> Iterator[Spot]:
    """No long-name headers of GNU tar."""
    found = [entry for entry in survey.entries if entry.kind in tar.GNU_NAMES]
    if found:
        yield survey.path.name, f"{len(found)}, the first at byte {found[0].offset - tar.BLOCK}"


def no_folder(survey: Survey) -> Iterator[Spot]:
    """No member is a folder."""
    for entry in survey.entries:
        if entry.kind == tar.FOLDER:
            yield survey.path.name, entry.name


def flat_members(survey: Survey) -> Iterator[Spot]:
    """No member lies in a folder."""
    for entry in _files(survey):
        if "/" in entry.name.removeprefix("./") and not is_junk(entry.name):
            yield survey.path.name, entry.name


def plain_members(survey: Survey) -> Iterator[Spot]:
    """No member's name begins with `./`."""
    for entry in _files(survey):
        if entry.name.startswith("./"):
            yield survey.path.name, entry.name


def no_junk(survey: Survey) -> Iterator[Spot]:
    """No resource forks and other remains of the machine that packed it."""
    for entry in _files(survey):
        if is_junk(entry.name.removeprefix("./")):
            yield survey.path.name, entry.name


def no_twins(survey: Survey) -> Iterator[Spot]:
    """No name stands there twice."""
    seen: set[str] = set()
    for entry in _files(survey):
        name = entry.name.removeprefix("./")
        if name in seen:
            yield survey.path.name, name
        seen.add(name)


def members_in_order(survey: Survey) -> Iterator[Spot]:
    """The files come in the order of References."""
    order = {name: number for number, name in enumerate(survey.referenced)}
    found = [name for one in _files(survey) if (name := one.name.removeprefix("./")) in order]
    for before, after in itertools.pairwise(found):
        if order[before] > order[after]:
            yield survey.path.name, f"{before} comes before {after}"


def manifest_in_place(survey: Survey) -> Iterator[Spot]:
    """Manifest and certificate follow the .ovf or stand at the very end."""
    names = [one.name.removeprefix("./") for one in _files(survey)]
    small = [one for one in (survey.manifest_name, survey.certificate_name) if one]
    rest = [name for name in names if name != survey.envelope_name]
    if names and small and rest[: len(small)] != small and rest[-len(small) :] != small:
        yield survey.path.name, f"{small[0]} stands between other files"


def referenced_members(survey: Survey) -> Iterator[Spot]:
    """Every member is the envelope, its manifest or certificate, or in References."""
    known = {survey.envelope_name, *survey.referenced}
    for entry in _files(survey):
        name = entry.name.removeprefix("./")
        small = name.lower().endswith((".mf", ".cert", ".ovf"))
        if name not in known and not small and not is_junk(name):
            yield survey.path.name, name


def members_for_ovirt(survey: Survey) -> Iterator[Spot]:
    """In oVirt's own exports every member is the .ovf, a disk, or a name ending in `.dat`."""
    if OVIRT.encode() not in survey.content:
        return
    disks = {disk.file for disk in survey.disks}
    kept = {part.name for file in survey.files if file.id in disks for part in file.parts}
    for entry in _files(survey):
        if not entry.name.endswith(("ovf", "dat")) and entry.name not in kept:
            yield survey.path.name, entry.name


def _files(survey: Survey) -> list[tar.Entry]:
    """The headers of regular files."""
    others = (*tar.PAX, *tar.GNU_NAMES, tar.FOLDER, b"V")
    return [entry for entry in survey.entries if entry.kind not in others]
