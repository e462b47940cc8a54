"""WRITE: put a record into the guest's filesystems once, in an overlay, and look again.

Runs as a stage. Removals come first, so that their room can be used; then folders, contents,
links, and last owners and times. Afterwards every path of the record is read back, and what is
free, the clean journal included, is let go.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from regild.change.extract import open_part
from regild.change.loader import check_loader, take_loader, taken_of
from regild.change.loader_places import Place
from regild.change.papers import read_paper
from regild.change.record import KINDS, canonical_acl
from regild.change.tree import Part, part_of, within
from regild.errors import IntegrityError
from regild.image.ext import ExtVolume
from regild.image.formats import disk_of
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.spans import outside
from regild.image.window import Window
from regild.image.writeback import Writeback
from regild.model.json import from_json
from regild.model.progress import Progress
from regild.model.record import Entry, Inode, Record

PIECE_BYTES = 1 << 20


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: write the record in the job's folder into a new `overlay` of the disk there.

    `now_ns` becomes the change time of every inode that is touched; `places` are those beside the
    record where a booted guest may have changed something.

    Raises: ChangeError, IntegrityError when something reads back otherwise, DiskFull, Malformed.
    """
    job, now_ns = Path(request["job"]), int(request["now_ns"])
    parts = from_json(tuple[Part, ...], request["parts"])
    record = read_paper(Record, job / "record.json", "the change record")
    base = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    content = os.open(job / "content", os.O_RDONLY)
    progress.step("Writing the change into the image", sum(e.becomes.bytes for e in record.entries))
    with Overlay.create(job / "overlay", base) as overlay:
        places = from_json(tuple[Place, ...], request.get("places", "[]"))
        if places:
            with Overlay.open(job / "booted", base) as left:
                take_loader(overlay, base, left, places, parts)
        shares = {part: _share(record, parts, part) for part in parts}
        for part in parts:
            if part.by_library and shares[part]:
                _write_part(overlay, part, shares[part], content, now_ns, progress)
                _check_part(overlay, part, shares[part])
        _write_by_kernel(overlay, shares, job)
        check_loader(overlay, base, taken_of(places))
        overlay.flush()
        return {"changed_grains": len(overlay.changed()), "bytes_read": base.bytes_read}


def _share(record: Record, parts: tuple[Part, ...], part: Part) -> list[Entry]:
    """What of the record lies on one filesystem; where nobody writes, only the mount point may."""
    return [entry for entry in record.entries if part_of(parts, entry.path) == part]


def _write_by_kernel(overlay: Overlay, shares: dict[Part, list[Entry]], job: Path) -> None:
    """Have a user-mode kernel write what only a kernel writes, and compare what it then found.

    Raises: IntegrityError.
    """
    asked = [part for part in shares if part.by_kernel]
    if not any(shares[part] for part in asked):
        return
    from regild.change.kernel import write_in

    found = write_in(overlay, asked, shares.__getitem__, job)
    for part in asked:
        for entry, inode in zip(shares[part], found[part.mount], strict=True):
            wanted = {row.name for row in entry.becomes.attributes}
            rows = tuple(row for row in inode.attributes if row.name in wanted)
            told = _essence(replace(inode, attributes=rows))
            if told != _essence(entry.becomes):
                why = f"it was written as {_essence(entry.becomes)} and reads back as {told}"
                raise IntegrityError(where=entry.path, why=why)


def _write_part(
    overlay: Overlay,
    part: Part,
    entries: list[Entry],
    content: int,
    now_ns: int,
    progress: Progress,
) -> None:
    """Write one filesystem's entries, then let go of what is free in it."""
    volume = open_part(overlay, part, writable=True)
    writing = _Writing(Writeback(volume), part, content, now_ns, progress)
    writing.run(entries)
    writing.writeback.flush()
    free = [*volume.read_free(), *writing.writeback.read_journal()]
    volume.close()
    region = Region(overlay, part.on_disk, part.mount)
    _let_go(overlay, [place for span in free for place in region.on_disk(*span)])


def _let_go(overlay: Overlay, free: list[tuple[int, int]]) -> None:
    """Discard what is free: whole grains, and parts of those that are written anew anyway.

    A grain that is unchanged and only partly free stays as it is: to change it would cost more
    in the new image than its old bytes do. What the disk never held is left alone.
    """
    held, changed = list(overlay.extents()), set(overlay.changed())
    wanted = sorted(free)
    for offset, length in outside(wanted, outside(wanted, held)):
        end = offset + length
        while offset < end:
            number = offset // GRAIN_BYTES
            count = min(end, (number + 1) * GRAIN_BYTES) - offset
            if count == GRAIN_BYTES or number in changed:
                overlay.discard(offset, count)
            offset += count


class _Writing:
    """One filesystem's part of a record on its way into the image."""

    def __init__(
        self, writeback: Writeback, part: Part, content: int, now_ns: int, progress: Progress
    ) -> None:
        self.writeback, self.part, self.content = writeback, part, content
        self.now_ns, self.progress = now_ns, progress

    def run(self, entries: list[Entry]) -> None:
        """Bring every path of the record from what it was to what it becomes."""
        renewed = set()
        for entry in sorted(entries, key=lambda entry: entry.path.count("/"), reverse=True):
            if entry.was.kind == "absent":
                renewed.add(entry.path)
            elif self._must_go(entry):
                self.writeback.remove(self._place(entry))
                renewed.add(entry.path)
        folders = [entry for entry in entries if entry.becomes.kind == "directory"]
        others = [entry for entry in entries if entry.becomes.kind not in ("directory", "absent")]
        for entry in sorted(folders, key=lambda entry: entry.path.count("/")):
            if self._find(entry) is None:
                self.writeback.make(self._place(entry), entry.becomes)
        for entry in sorted(others, key=lambda entry: bool(entry.link_to)):
            self._write(entry)
        for entry in [*others, *sorted(folders, key=lambda entry: -entry.path.count("/"))]:
            if not entry.link_to:
                self._dress(entry, entry.path in renewed)

    def _must_go(self, entry: Entry) -> bool:
        """Whether the old file at a path cannot become the new one in its own inode."""
        was, becomes = entry.was, entry.becomes
        if was.kind != becomes.kind or entry.link_to:
            return True
        if becomes.kind == "directory":
            return False
        if becomes.kind != "file":
            return (was.target, was.device) != (becomes.target, becomes.device)
        if was.links > 1 or becomes.links > 1:
            return True
        number = self._find(entry)
        has_content = entry.content_at is not None
        return number is not None and has_content and not self.writeback.keeps_place(number)

    def _write(self, entry: Entry) -> None:
        """Make what is new, or fill an old file anew."""
        place = self._place(entry)
        if entry.link_to:
            first = self.writeback.find(within(self.part, entry.link_to))
            if first is None:
                raise IntegrityError(where=entry.path, why=f"{entry.link_to} was not written")
            self.writeback.link(place, first)
            return
        number = self._find(entry)
        if number is None:
            number = self.writeback.make(place, entry.becomes)
        if entry.becomes.kind == "file" and entry.content_at is not None:
            size = entry.becomes.bytes
            pieces = self._pieces(entry.content_at, size)
            self.writeback.write_content(number, size, pieces, entry.holes)
            if not entry.in_place:
                self.writeback.renew_flags(place, number)
            self.progress.advance(size)

    def _dress(self, entry: Entry, is_new: bool) -> None:
        """Give an inode its attributes, owner, mode and times."""
        number = self._find(entry)
        if number is None:
            raise IntegrityError(where=entry.path, why="it was written and is not there")
        was = {} if is_new else {row.name: row.value for row in entry.was.attributes}
        wanted = {row.name: row.value for row in entry.becomes.attributes}
        self.writeback.write_attributes(number, was, wanted)
        self.writeback.write_metadata(number, entry.becomes, self.now_ns)

    def _find(self, entry: Entry) -> int | None:
        return self.writeback.find(self._place(entry))

    def _place(self, entry: Entry) -> str:
        return within(self.part, entry.path)

    def _pieces(self, offset: int, length: int) -> Iterator[bytes]:
        while length:
            piece = os.pread(self.content, min(PIECE_BYTES, length), offset)
            if not piece:
                return
            yield piece
            offset, length = offset + len(piece), length - len(piece)


def _check_part(overlay: Overlay, part: Part, entries: list[Entry]) -> None:
    """Open the filesystem afresh and compare every path with the record; e2fsck is asked later, by
    the proof, once."""
    volume = open_part(overlay, part)
    try:
        writeback = Writeback(volume)
        for entry in entries:
            found = _read_back(volume, writeback.find(within(part, entry.path)), entry.becomes)
            if found != _essence(entry.becomes):
                why = f"it was written as {_essence(entry.becomes)} and reads back as {found}"
                raise IntegrityError(where=entry.path, why=why)
    finally:
        volume.close()


def _read_back(volume: ExtVolume, number: int | None, wanted: Inode) -> tuple[object, ...]:
    """What stands in the image, in the terms of a record."""
    if number is None:
        return _essence(Inode(kind="absent"))
    inode = volume.read_inode(number)
    kind = KINDS[stat.S_IFMT(inode.mode)]
    content = hashlib.sha256()
    done = 0
    for offset, piece in volume.read_content(inode) if kind == "file" else ():
        content.update(bytes(offset - done) + piece)
        done = offset + len(piece)
    content.update(bytes(max(inode.size - done, 0)) if kind == "file" else b"")
    attributes = volume.read_attributes(inode)
    return _essence(
        Inode(
            kind=kind,
            mode=stat.S_IMODE(inode.mode),
            uid=inode.uid,
            gid=inode.gid,
            mtime_ns=inode.mtime_ns,
            bytes=inode.size if kind == "file" else 0,
            target=volume.read_target(inode) if kind == "symlink" else "",
            device=inode.device if kind in ("character", "block") else None,
            links=1 if kind == "directory" else inode.links,
        ),
        "sha256:" + content.hexdigest() if kind == "file" else None,
        {row.name: _canonical(row.name, attributes.get(row.name)) for row in wanted.attributes},
    )


def _essence(
    inode: Inode, digest: str | None = None, attributes: dict[str, bytes | None] | None = None
) -> tuple[object, ...]:
    """What must read back equal; times to the precision that the filesystem can hold."""
    if attributes is None:
        attributes = {row.name: row.value for row in inode.attributes}
    whole = inode.kind, inode.mode, inode.uid, inode.gid, inode.mtime_ns // 10**9, inode.bytes
    return (*whole, inode.target, inode.device, inode.links, digest or inode.digest, attributes)


def _canonical(name: str, value: bytes | None) -> bytes | None:
    return canonical_acl(value) if value is not None and "posix_acl" in name else value
