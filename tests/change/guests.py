"""A real small guest to change, and packages made on the spot that do what a test needs."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from regild.agent.changing.parts import parts_of
from regild.change.apply import Boot, Changed, DiskFile, apply_plan
from regild.change.extract import open_part
from regild.change.repository import write_repository
from regild.change.start import Start, read_start
from regild.change.tree import Part
from regild.host.namespace import find_id_map
from regild.host.run import run
from regild.host.scratch import Scratch, open_scratch
from regild.image.ext import Inode
from regild.image.filecheck import check_filesystem
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.model.content import Planning
from regild.model.digest import Digest
from regild.model.plan import Archive, Carrier, Plan, Seal, Step
from regild.model.progress import Silent
from regild.ovf.archive import open_appliance

NOTHING = Digest("sha256:" + "0" * 64)


@dataclass(frozen=True)
class Deb:
    """A package file: where it is and what its control file says."""

    name: str
    path: Path
    control: str

    @property
    def version(self) -> str:
        return self.control.partition("\nVersion: ")[2].partition("\n")[0]

    @cached_property
    def archive(self) -> Archive:
        content = self.path.read_bytes()
        digest = Digest("sha256:" + hashlib.sha256(content).hexdigest())
        return Archive("http://mirror.example/x.deb", self.path.name, digest, len(content))


def build_deb(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: dict[str, bytes] | None = None,
    links: dict[str, str] | None = None,
    fields: str = "",
    symlinks: dict[str, str] | None = None,
    conffiles: str = "",
    **scripts: str,
) -> Deb:
    """Build a .deb with these files (path: content), hard links (path: other), symlinks and
    scripts."""
    tree = folder / f"{name}_{version}"
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
    control += f"Maintainer: Nobody <nobody@mirror.example>\n{fields}Description: a test\n"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(control)
    for path, content in (files or {}).items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for path, other in (links or {}).items():
        (tree / path.lstrip("/")).hardlink_to(tree / other.lstrip("/"))
    for path, target in (symlinks or {}).items():
        (tree / path.lstrip("/")).symlink_to(target)
    if conffiles:
        (tree / "DEBIAN/conffiles").write_text(conffiles)
    for script, text in scripts.items():
        place = tree / "DEBIAN" / script
        place.write_text(f"#!/bin/sh\nset -e\n{text}\n")
        place.chmod(0o755)
    made = folder / f"{name}_{version}_all.deb"
    run(["dpkg-deb", "--root-owner-group", "--build", tree, made], purpose="to build test packages")
    return Deb(name, made, control)


def plan_of(*debs: Deb, was: str = "") -> Plan:
    """A plan that upgrades packages; enough of one for the change room."""
    steps = tuple(
        Step("upgrade", deb.name, "all", was, deb.version if was else "", archive=deb.archive)
        for deb in debs
    )
    size = sum(deb.archive.bytes for deb in debs)
    return Plan(NOTHING, NOTHING, "disk", "full", steps, download_bytes=size)


@dataclass(frozen=True)
class Guest:
    """A guest's disk inside its appliance, and its filesystems."""

    disk: DiskFile
    parts: tuple[Part, ...]

    def apply(
        self,
        scratch: Scratch,
        *debs: Deb,
        timeout_seconds: float = 120,
        booted: bool = False,
        seal: tuple[Seal, ...] = (),
        carrier: Carrier = "record",
        was: str = "",
    ) -> Changed:
        """Upgrade packages of the guest (zip, unzip, xz-utils) into an overlay."""
        plan = replace(plan_of(*debs, was=was), carrier="boot" if booted else carrier, seal=seal)
        return self.make(scratch, plan, debs, timeout_seconds, booted)

    def make(
        self,
        scratch: Scratch,
        plan: Plan,
        debs: Sequence[Deb],
        timeout_seconds: float = 120,
        booted: bool = False,
    ) -> Changed:
        """Make a plan in an overlay."""
        folder = make_repository(scratch.folder("repository"), plan, debs)
        return apply_plan(
            self.disk,
            self.parts,
            plan,
            folder,
            scratch,
            now_ns=1_700_000_000_000_000_000,
            timeout_seconds=timeout_seconds,
            progress=Silent(),
            boot=Boot(self.start(scratch)) if booted else None,
        )

    def start(self, scratch: Scratch) -> Start:
        """The guest's own kernel, read out of its disk."""
        place = self.disk
        with open_disk(place.path, place.offset, place.bytes) as disk, open_guest(disk) as guest:
            return read_start(guest, (), scratch.folder("start"))

    @contextmanager
    def job(self, folder: Path) -> Iterator[Scratch]:
        """A job's folder that outlives an error, so that a test can look into it."""
        with open_scratch(folder, "job", find_id_map(), keep=True) as scratch:
            yield scratch


def make_repository(folder: Path, plan: Plan, debs: Sequence[Deb]) -> Path:
    """The packages of a plan where its commands look for them."""
    rows = {deb.archive.digest: deb for deb in debs}
    files = {digest: deb.path for digest, deb in rows.items()}
    controls = {digest: deb.control for digest, deb in rows.items()}
    write_repository(folder, plan, files, controls, Planning())
    return folder


class Result:
    """The changed guest, opened for looking."""

    def __init__(self, guest: Guest, changed: Changed) -> None:
        self._disk = open_disk(guest.disk.path, guest.disk.offset, guest.disk.bytes)
        self.overlay = Overlay.open(Path(changed.overlay), self._disk.__enter__())
        self.volume = open_part(self.overlay, guest.parts[0])
        self.paths = dict(self.volume.walk())
        with tempfile.TemporaryDirectory() as scratch:  # nobody else asks e2fsck before the proof
            check_filesystem(self.volume, Path(scratch) / "metadata.img")

    def content(self, path: str) -> bytes:
        return b"".join(piece for _, piece in self.volume.read_content(self.paths[path]))

    def inode(self, path: str) -> Inode:
        return self.paths[path]

    def close(self) -> None:
        self.volume.close()
        self.overlay.close()
        self._disk.__exit__(None, None, None)


def guest_of(appliance: Path) -> Guest:
    """Find the guest in an appliance."""
    with open_appliance(appliance) as opened:
        source = opened.disk_source(opened.envelope.disks[0])
        assert source is not None
        (member,) = source.parts
        place = DiskFile(member.path, member.offset, member.bytes)
    return Guest(place, parts_in(place))


def parts_in(place: DiskFile) -> tuple[Part, ...]:
    """The filesystems of the guest on a disk, but for those that nobody writes."""
    with open_disk(place.path, place.offset, place.bytes) as disk, open_guest(disk) as guest:
        return tuple(part for part in parts_of(guest) if part.writable)
