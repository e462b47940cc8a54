"""A virtual appliance on disk: an OVA read in place, an .ovf file, or a folder with one .ovf.

DSP0243, clauses 5 and 6; rules R4 and R6. Nothing is unpacked, and no name leads out of the
package.
"""

from __future__ import annotations

import contextlib
import errno
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from regild.errors import (
    Ambiguous,
    InputError,
    Malformed,
    MissingFile,
    NotAnArchive,
    RegildError,
    TooLarge,
    Truncated,
    UnsafeName,
    UnsupportedError,
    UnsupportedFormat,
)
from regild.host.exact import ExactPath
from regild.host.files import translated
from regild.host.remote import address_of, approved, open_bytes, open_remote
from regild.model.appliance import DiskReference, Envelope, FileReference, ManifestEntry
from regild.model.content import Value
from regild.ovf import manifest, markup, messages, names, tar
from regild.ovf.envelope import read_envelope
from regild.ovf.member import Member

Form = Literal["ova", "folder"]

_XML_HEADS: Final = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\0<")


class DiskSource(msgspec.Struct, frozen=True):
    """How a disk is stored: the members that hold it, one behind another."""

    parts: tuple[Member, ...]
    packed: bool
    """They are compressed together (`ovf:compression`)."""
    parent: str
    """The diskId of the disk that it holds the difference to; empty for a whole disk."""


class Appliance(Value, frozen=True):
    """An opened package: its envelope, its manifest, and where the bytes of its files lie."""

    path: Path
    """The .ova or the .ovf."""
    form: Form
    envelope: Envelope
    envelope_bytes: bytes
    envelope_name: str
    manifest: tuple[ManifestEntry, ...]
    manifest_name: str
    """Empty where there is none."""
    certificate_name: str
    members: Mapping[str, Member]
    """By name, in the order of the archive or of the envelope; .ovf, .mf and .cert too."""
    warnings: tuple[str, ...] = ()

    def parts_of(self, file: FileReference) -> tuple[Member, ...]:
        """The members that hold a File: one, or its chunks in order.

        Raises: MissingFile, UnsafeName, ExternalFile, Malformed.
        """
        found = find_parts(self.members, file, self.envelope_name)
        if not found:
            raise MissingFile(where=file.href, why=f"{self.envelope_name} refers to it")
        return found

    def member_names(self) -> tuple[str, ...]:
        """The names of the members that References speak of, as far as they are there."""
        return tuple(
            member.name
            for file in self.envelope.files
            for member in find_parts(self.members, file, self.envelope_name)
        )

    def name_of(self, system_id: str) -> str:
        """A virtual system's name as people read it, also where a file of texts holds it."""
        systems = self.envelope.systems
        system = next((one for one in systems if one.id == system_id), None)
        if system is None or not system.message:
            return system.name if system else ""
        for file in self.envelope.files:
            if file.id in self.envelope.bundles:
                with contextlib.suppress(InputError, UnsupportedError):
                    texts = messages.read_bundle(self._small(file), file.href)
                    if system.message in texts:
                        return texts[system.message]
        return system.name

    def _small(self, file: FileReference) -> bytes:
        """The content of a File of texts, in however many chunks it lies."""
        parts = self.parts_of(file)
        held = sum(part.bytes for part in parts)
        if held > messages.MAX_BYTES:
            raise TooLarge(where=file.href, why=f"{held} bytes of texts")
        return b"".join(part.read(messages.MAX_BYTES) for part in parts)

    def disk_source(self, disk: DiskReference) -> DiskSource | None:
        """Where a disk's bytes lie, and what is needed to read them; None for a blank disk.

        Raises: MissingFile, UnsafeName, ExternalFile, UnsupportedFormat for an unknown compression.
        """
        if not disk.file:
            return None
        file = next(file for file in self.envelope.files if file.id == disk.file)
        if file.compression not in ("", "identity", "gzip", "bzip2"):
            why = f"it is compressed with {file.compression[:40]}"
            raise UnsupportedFormat(where=file.href, why=why)
        packed = file.compression in ("gzip", "bzip2")
        return DiskSource(self.parts_of(file), packed, disk.parent)


def find_form(path: Path) -> Form | None:
    """What kind of package lies at a path, by its content; None when it is none.

    Raises: MissingFile, NotPermitted.
    """
    head = _head(path)
    if head is None:
        return "folder"
    if tar.is_tar(head):
        return "ova"
    text = head.lstrip(b" \t\r\n")
    # VDI disks begin with "<<<", XML never does.
    return "folder" if text.startswith(_XML_HEADS) and not text.startswith(b"<<") else None


@contextlib.contextmanager
def open_appliance(path: Path, *, complete: bool = True) -> Iterator[Appliance]:
    """Open an OVA, an .ovf file or a folder with one .ovf, and check that its files are there.

    With `complete` false, absent files, foreign references and sizes that do not fit are warnings;
    a bare .ovf can be looked at so.

    Raises: InputError and UnsupportedError of all kinds, NotPermitted.
    """
    form = find_form(path)
    if form == "ova":
        yield _open_ova(path, complete)
    elif form == "folder":
        yield _open_folder(path, complete)
    else:
        packed = tar.other_archive(_head(path) or b"")
        why = f"it is compressed with {packed}" if packed else "it is neither a tar file nor XML"
        raise NotAnArchive(where=str(path), why=why)


def _head(path: Path) -> bytes | None:
    """The first 512 bytes of a regular file; None for a folder."""
    if address := address_of(path):
        file = open_remote(address)
        return file.read(0, min(tar.BLOCK, file.size))
    with translated(path):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise NotAnArchive(where=str(path), why="it is not a regular file")
        with path.open("rb") as opened:
            return opened.read(tar.BLOCK)


def _open_ova(path: Path, complete: bool) -> Appliance:
    members: dict[str, Member] = {}
    warnings: list[str] = []
    with translated(path), open_bytes(path) as file:
        for place in tar.read_places(file, str(path)):
            name = place.name.removeprefix("./")
            if name.rpartition("/")[2].startswith("._") or name.startswith("PaxHeader"):
                continue
            names.check_name(name, str(path))
            if name in members:
                raise Ambiguous(where=str(path), why=f"it holds {name[:80]!r} twice")
            members[name] = Member(name, path, place.offset, place.bytes)
    envelope_name = only_envelope([name for name in members if "/" not in name], str(path))
    if next(iter(members)) != envelope_name:
        warnings.append(f"{envelope_name} is not the first file of the archive")
    return _appliance(path, "ova", envelope_name, members, complete, warnings)


def only_envelope(found: list[str], where: str) -> str:
    """The one name of some that ends in .ovf.

    Raises: Ambiguous, MissingFile.
    """
    envelopes = [name for name in found if name.lower().endswith(".ovf")]
    if len(envelopes) > 1:
        raise Ambiguous(where=where, why=f"it holds {len(envelopes)} .ovf files, not one")
    if not envelopes:
        raise MissingFile(where=f"an .ovf in {where}", why="there is none at the top level")
    return envelopes[0]


def _open_folder(path: Path, complete: bool) -> Appliance:
    if address_of(path):
        why = "only an .ova or a bare disk is read from a server, not an .ovf with files beside it"
        raise UnsupportedFormat(where=str(path), why=why)
    with translated(path):
        if path.is_dir():
            inside = [child.name for child in path.iterdir() if not child.name.startswith("._")]
            path = path / only_envelope(sorted(inside), str(path))
    members = {path.name: file_member(path.parent, path.name)}
    stem = path.name.rpartition(".")[0] or path.name
    for name in (f"{stem}.mf", f"{stem}.cert"):
        if _is_there(path.parent / name):
            members[name] = file_member(path.parent, name)
    envelope = read_envelope(members[path.name].read(markup.MAX_BYTES), str(path))
    warnings: list[str] = []
    for file in envelope.files:
        try:
            found = list(folder_parts(path.parent, file, str(path)))
        except RegildError as error:
            if complete:
                raise
            warnings.append(str(error))
            continue
        members.update((member.name, member) for member in found)
    return _appliance(path, "folder", path.name, members, complete, warnings)


def folder_parts(folder: Path, file: FileReference, where: str) -> Iterator[Member]:
    """The files of a folder that a File means; nothing where they are absent.

    Raises: UnsafeName, ExternalFile, Malformed.
    """
    if (elsewhere := _elsewhere(file)) is not None:
        yield elsewhere
        return
    for name in names.check_href(file.href, where):
        number = 0
        while file.chunk_bytes and _is_there(folder / _chunk_name(name, number)):
            yield file_member(folder, _chunk_name(name, number))
            number += 1
        if not number and _is_there(folder / name):
            yield file_member(folder, name)
            number = 1
        if number:
            return


def _is_there(path: Path) -> bool:
    """Whether something has a name that a package states; one too long for a file has nothing."""
    with translated(path):
        try:
            return path.exists()
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return False


def file_member(folder: Path, name: str) -> Member:
    """A regular file inside a folder, never behind a link that leads out of it; one that leads out
    by the time that it is opened is an error then.

    Raises: UnsafeName, MissingFile, NotPermitted.
    """
    with translated(folder / name):
        try:
            real = ExactPath((folder / name).resolve(strict=True))
        except (OSError, RuntimeError) as error:  # RuntimeError is pathlib's word for a loop
            if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.ENOTDIR):
                raise
            why = f"{name[:80]!r} is a link in a loop, or became one meanwhile"
            raise UnsafeName(where=str(folder), why=why) from error
        if not real.is_relative_to(folder.resolve()):
            raise UnsafeName(where=str(folder), why=f"{name[:80]!r} is a link that leads out")
        status = real.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeName(where=str(folder), why=f"{name[:80]!r} is not a regular file")
    return Member(name, real, 0, status.st_size)


def _appliance(
    path: Path,
    form: Form,
    envelope_name: str,
    members: dict[str, Member],
    complete: bool,
    warnings: list[str],
) -> Appliance:
    where = envelope_name if form == "ova" else str(path)
    content = members[envelope_name].read(markup.MAX_BYTES)
    envelope = read_envelope(content, where)
    stem = envelope_name.rpartition(".")[0]
    manifest_name = f"{stem}.mf" if f"{stem}.mf" in members else ""
    entries: tuple[ManifestEntry, ...] = ()
    if manifest_name:
        entries = manifest.read_manifest(
            members[manifest_name].read(manifest.MAX_BYTES), manifest_name
        )
    for file in envelope.files:
        try:
            _check_file(members, file, where)
        except RegildError as error:
            if complete:
                raise
            warnings.append(str(error))
    return Appliance(
        path=path,
        form=form,
        envelope=envelope,
        envelope_bytes=content,
        envelope_name=envelope_name,
        manifest=entries,
        manifest_name=manifest_name,
        certificate_name=f"{stem}.cert" if f"{stem}.cert" in members else "",
        members=MappingProxyType(members),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _check_file(members: Mapping[str, Member], file: FileReference, where: str) -> None:
    """A File is there and has the size that the envelope states (rule R4)."""
    parts = find_parts(members, file, where)
    if not parts:
        raise MissingFile(where=file.href, why=f"{where} refers to it")
    held = sum(part.bytes for part in parts)
    if not file.bytes or held == file.bytes:
        return
    why = f"it holds {held} bytes, {where} says {file.bytes}"
    if held < file.bytes:
        raise Truncated(where=file.href, why=why)
    raise Malformed(where=file.href, why=why)


def find_parts(
    members: Mapping[str, Member], file: FileReference, where: str
) -> tuple[Member, ...]:
    """The members of an archive that a File means; nothing where they are absent.

    Raises: UnsafeName, ExternalFile, Malformed.
    """
    if (elsewhere := _elsewhere(file)) is not None:
        return (elsewhere,)
    for name in names.check_href(file.href, where):
        found: list[Member] = []
        while file.chunk_bytes and _chunk_name(name, len(found)) in members:
            found.append(members[_chunk_name(name, len(found))])
        if not found and name in members:
            found.append(members[name])
        if found:
            return tuple(found)
    return ()


def _elsewhere(file: FileReference) -> Member | None:
    """A File that lies at a server which the user lets be followed.

    Raises: as `open_remote`; UnsupportedFormat for one in chunks.
    """
    place = approved(file.href) if names.is_address(file.href) else None
    if place is None:
        return None
    if file.chunk_bytes:
        raise UnsupportedFormat(where=str(place), why="it lies in chunks on a server")
    return Member(file.href, place, 0, open_remote(str(place)).size)


def _chunk_name(name: str, number: int) -> str:
    return f"{name}.{number:09d}"
