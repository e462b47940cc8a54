"""A real guest that was really changed, and ways to damage the result."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regild.change.extract import open_part
from regild.change.tree import Part
from regild.describe.boot import read_boot
from regild.describe.reader import describe_guest
from regild.feeds.shipped import ShippedPackage, read_shipped
from regild.host.scratch import Scratch
from regild.image.disk import Disk
from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.image.writeback import Writeback
from regild.model.content import Package
from regild.model.json import from_json, to_json
from regild.model.plan import Difference
from regild.model.progress import Silent
from regild.model.record import Inode, Kind
from regild.prove.scene import Scene
from regild.prove.static import Proof, prove_static
from regild.prove.touched import Area
from regild.prove.touched import main as compare
from tests.change.guests import Deb, Guest, build_deb
from tests.prove.test_boot_chain import ENTRY, INITRD, KERNEL, MENU, VERSION, initrd, kernel

NOW = 1_800_000_000_000_000_000
MODULES = f"/lib/modules/{VERSION}"


def packages(folder: Path, uuid: str) -> tuple[Deb, ...]:
    """Upgrades of two of the small guest's packages that leave something of every kind."""
    zip_ = build_deb(
        folder,
        "zip",
        "99",
        {
            "/usr/bin/zip": b"\x7fELF new",
            "/usr/bin/zipper": b"#!/bin/sh\n",
            "/usr/share/zip/read.me": b"read me\n",
            "/usr/share/zip/empty": b"",
            "/etc/zip.conf": b"level=9\n",
            "/etc/zip.d/more.conf": b"more\n",
            "/usr/lib/zip/zip.service": b"[Service]\nExecStart=/usr/bin/zip\n",
        },
        links={"/usr/share/zip/twin": "/usr/share/zip/read.me"},
        symlinks={"/usr/share/zip/link": "read.me"},
        postinst="""
            ldconfig
            groupadd --system zipper || true
            useradd --system -g zipper -d /nonexistent -s /usr/sbin/nologin zipper || true
            update-alternatives --install /usr/bin/packer packer /usr/bin/zip 10
            mkdir -p /etc/systemd/system/multi-user.target.wants
            ln -sf /usr/lib/zip/zip.service /etc/systemd/system/multi-user.target.wants/zip.service
            chmod 2755 /usr/bin/zipper""",
        conffiles="/etc/zip.conf\n/etc/zip.d/more.conf\n",
    )
    library = "/usr/lib/x86_64-linux-gnu/libzipper.so.1"
    menu = ENTRY.replace("UUID=aaaa-bbbb", f"UUID={uuid}")
    names = ("init", MODULES[1:], f"{MODULES[1:]}/kernel/ext4.ko")
    unzip = build_deb(
        folder,
        "unzip",
        "99",
        {
            f"{library}.2": shared_library(),
            "/usr/bin/unzip": b"\x7fELF new",
            KERNEL: kernel(),
            INITRD: initrd(*names),
            MENU: menu.encode(),
            f"{MODULES}/modules.dep": b"kernel/ext4.ko:\n",
            f"{MODULES}/modules.builtin": b"",
            f"{MODULES}/kernel/ext4.ko": b"\x7fELF module",
        },
        symlinks={library: "libzipper.so.1.2"},
        postinst="ldconfig",
    )
    return zip_, unzip


def shared_library() -> bytes:
    """The smallest thing that ldconfig takes for a library."""
    strings = b"\0libzipper.so.1\0"
    at, base = 64 + 2 * 56, 0
    dynamic = at + 32
    tags = [(14, 1), (5, at), (10, len(strings)), (6, at), (11, 24), (4, at), (0, 0)]
    section = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    total = dynamic + len(section)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, total, total, 0x1000)
    table = struct.pack("<IIQQQQQQ", 2, 6, dynamic, dynamic, dynamic, len(section), len(section), 8)
    return head + load + table + strings.ljust(32, b"\0") + section


@dataclass(frozen=True)
class Patched:
    """A changed guest: the disk, its overlay, and what is known of the change."""

    guest: Guest
    overlay: Path
    shipped: tuple[ShippedPackage, ...]
    known: tuple[str, ...]
    expected: tuple[Package, ...]

    def prove(self, overlay: Path, folder: Path) -> Proof:
        """The whole static proof of an overlay of this guest, as an update asks it."""
        place = self.guest.disk
        areas = [Area(part.mount, part.on_disk) for part in self.guest.parts if part.writable]
        with place.path.open("rb") as file, self.disk() as disk:
            request = {
                "disk": file.fileno(),
                "where": "the disk",
                "offset": place.offset,
                "bytes": place.bytes,
                "areas": to_json(areas, 0),
                "overlay": str(overlay),
                "known": list(self.known),
                "scratch": str(folder / "metadata.img"),
            }
            answer = compare(request, Silent())
            with (
                Overlay.open(overlay, disk) as changed,
                open_guest(disk) as before,
                open_guest(changed) as guest,
            ):
                observed = describe_guest(guest)
                scene = Scene(
                    guest,
                    observed,
                    boot=read_boot(guest.tree).entries,
                    before=before,
                    boot_before=read_boot(before.tree).entries,
                    expected=self.expected or observed.packages,
                    shipped=self.shipped,
                    touched=from_json(tuple[Difference, ...], answer["touched"]),
                    filesystems=from_json(tuple[Difference, ...], answer["filesystems"]),
                    changed=frozenset(self.known),
                )
                return prove_static(scene)

    def disk(self):  # type: ignore[no-untyped-def]  # a context manager of a Disk
        place = self.guest.disk
        return open_disk(place.path, place.offset, place.bytes)


@contextmanager
def patched(guest: Guest, folder: Path) -> Iterator[Patched]:
    """Change the small guest by real packages and give what an update would know of it."""
    with guest.job(folder) as job:
        yield _patched(guest, folder, job)


def _patched(guest: Guest, folder: Path, job: Scratch) -> Patched:
    debs = packages(folder, guest.parts[0].volume.removeprefix("UUID="))
    changed = guest.apply(job, *debs)
    shipped = tuple(read_shipped(deb.path, deb.name, "all") for deb in debs)
    known = tuple(row.path for row in changed.explained)
    made = Patched(guest, Path(changed.overlay), shipped, known, ())
    with (
        made.disk() as disk,
        Overlay.open(made.overlay, disk) as overlay,
        open_guest(overlay) as opened,
    ):
        expected = describe_guest(opened).packages
    return Patched(guest, made.overlay, shipped, known, expected)


class Patient:
    """A copy of the overlay that is damaged path by path."""

    def __init__(self, overlay: Overlay, part: Part) -> None:
        self.overlay, self.part = overlay, part
        self.volume: ExtVolume = open_part(overlay, part, writable=True)
        self.writing = Writeback(self.volume)

    def close(self) -> None:
        self.writing.flush()
        self.volume.close()
        self.overlay.flush()

    def content(self, path: str) -> bytes:
        inode = self.volume.read_inode(self.number(path))
        return b"".join(piece for _, piece in self.volume.read_content(inode))

    def number(self, path: str) -> int:
        found = self.writing.find(real(path))
        assert found is not None, path
        return found

    def wanted(self, path: str, **facts: object) -> Inode:
        inode = self.volume.read_inode(self.number(path))
        own = {"mode": inode.mode & 0o7777, "uid": inode.uid, "gid": inode.gid}
        return Inode("file", **{**own, "mtime_ns": inode.mtime_ns, **facts})  # type: ignore[arg-type]  # facts of an inode

    def write(self, path: str, content: bytes) -> None:
        """Other bytes in the same file, everything else of it as it was."""
        wanted = self.wanted(path)
        self.writing.write_content(self.number(path), len(content), [content])
        self.writing.write_metadata(self.number(path), wanted, NOW)

    def edit(self, path: str, old: bytes, new: bytes) -> None:
        content = self.content(path)
        assert old in content, (path, old)
        self.write(path, content.replace(old, new, 1))

    def append(self, path: str, content: bytes) -> None:
        self.write(path, self.content(path) + content)

    def remove(self, path: str) -> None:
        self.writing.remove(real(path))

    def dress(self, path: str, **facts: object) -> None:
        self.writing.write_metadata(self.number(path), self.wanted(path, **facts), NOW)

    def add(self, path: str, content: bytes = b"", mode: int = 0o644) -> None:
        number = self.writing.make(real(path), Inode("file", mode=mode))
        self.writing.write_content(number, len(content), [content])
        self.writing.write_metadata(number, Inode("file", mode=mode, mtime_ns=NOW), NOW)

    def make(self, path: str, kind: Kind, target: str = "", mode: int = 0o755) -> None:
        wanted = Inode(kind, mode=mode, target=target, mtime_ns=NOW)
        number = self.writing.make(real(path), wanted)
        self.writing.write_metadata(number, wanted, NOW)

    def relink(self, path: str, target: str) -> None:
        self.remove(path)
        self.make(path, "symlink", target, 0o777)


def real(path: str) -> str:
    """A path on a system whose top folders are merged into /usr."""
    merged = ("/bin/", "/sbin/", "/lib/", "/lib64/")
    return f"/usr{path}" if path.startswith(merged) else path


@contextmanager
def damaged(patched: Patched, folder: Path, damage: Callable[[Patient], None]) -> Iterator[Path]:
    """A copy of the overlay with some damage."""
    copy = folder / "overlay"
    for end in ("", ".map"):
        source = patched.overlay.with_name(patched.overlay.name + end)
        _copy_sparse(source, copy.with_name(copy.name + end))
    with patched.disk() as disk, Overlay.open(copy, disk) as overlay:
        patient = Patient(overlay, patched.guest.parts[0])
        damage(patient)
        patient.close()
    yield copy


def _copy_sparse(source: Path, target: Path) -> None:
    from regild.host.run import run

    run(["cp", "--sparse=always", source, target], purpose="to damage a copy")


__all__ = ["Disk", "Patched", "Patient", "damaged", "patched"]
