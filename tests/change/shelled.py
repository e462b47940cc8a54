"""A guest of a few megabytes: this machine's shell and tools in an ext4 filesystem, and data.

Its commands are a test's own; everything else is as in a change: stages, record, gate, writing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regild.change.apply import Changed, DiskFile, apply_plan
from regild.change.script import GuestCommand
from regild.change.tree import Part
from regild.host.namespace import find_id_map
from regild.host.scratch import Scratch, open_scratch
from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.model.progress import Progress, Silent
from tests.change.guests import make_repository, plan_of
from tests.image.ext_images import make_image

PROGRAMS = (
    *("sh", "cat", "chmod", "chown", "cp", "dd", "find", "head", "ln", "mkdir", "mv", "rm"),
    *("setfattr", "sha256sum", "sleep", "sort", "stat", "tail", "touch", "truncate"),
)
Fact = tuple[object, ...]
MOMENTS = ((8, 12), (124, 126), (130, 132), (140, 148))
"""In an inode: the times of reading and of making, which the library takes from this machine's
clock, and the checksum (ext2_inode_large)."""
OLD = 1_600_000_000
NOW = 1_700_000_000
SETTLE = f"find /etc /srv /more -newermt @{OLD + 9} -exec touch -hd @{NOW} {{}} +"
"""The last line of a script whose record is compared: nothing tells when it ran."""


def put_system(root: Path) -> None:
    """This machine's shell and tools, with what they are linked to."""
    for name in PROGRAMS:
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True)
        program = Path(found.stdout.strip()).resolve()
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
        places = [word for word in told.stdout.split() if word.startswith("/")]
        for place in places:
            _copy(Path(place), root / place.lstrip("/"))
        _copy(program, root / "usr/bin" / name)
    (root / "bin").symlink_to("usr/bin")
    for name in ("etc", "proc", "dev", "run", "tmp", "var/lib", "var/log", "srv"):
        (root / name).mkdir(parents=True, exist_ok=True)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.write_bytes(source.read_bytes())
        place.chmod(0o755)


class Shelled:
    """The guest on a disk: a filesystem for each mount point, one after another."""

    def __init__(self, folder: Path, sizes: dict[str, int]) -> None:
        self.path, self.sizes = folder / "guest.raw", sizes
        offset, parts = 0, []
        for mount, size in sizes.items():
            parts.append(Part(mount, offset, size, "ext4", free_blocks=size >> 13, free_inodes=999))
            offset += size
        self.parts = tuple(parts)

    def make(self, folder: Path, fill: Callable[[dict[str, Path]], None]) -> None:
        """Make the disk from folders that `fill` fills, by mount point."""
        roots = {mount: folder / f"root{n}" for n, mount in enumerate(self.sizes)}
        for root in roots.values():
            root.mkdir()
        put_system(roots["/"])
        for mount in roots:
            (roots["/"] / mount.strip("/")).mkdir(parents=True, exist_ok=True)
        fill(roots)
        with self.path.open("wb") as disk:
            for number, (mount, root) in enumerate(roots.items()):
                made = folder / f"{number}.img"
                for path in [*root.rglob("*"), root]:
                    os.utime(path, (OLD, OLD), follow_symlinks=False)
                make_image(made, "ext4", root, self.sizes[mount])
                disk.write(made.read_bytes())
                made.unlink()

    @contextmanager
    def job(self, folder: Path) -> Iterator[Scratch]:
        folder.mkdir(exist_ok=True)
        with open_scratch(folder, "job", find_id_map(), keep=True) as scratch:
            yield scratch

    def change(
        self,
        scratch: Scratch,
        monkeypatch: pytest.MonkeyPatch,
        *scripts: str,
        leave: int = 1,
        progress: Progress | None = None,
    ) -> Changed:
        """Run scripts in the guest; with `leave` 0 all of it is taken out."""
        commands = tuple(GuestCommand(("sh", "-ec", text), "a script") for text in scripts)
        change = "regild.change.apply"
        monkeypatch.setattr(f"{change}.compile_commands", lambda plan: commands)
        monkeypatch.setattr(f"{change}.compile_tests", lambda plan: ())
        monkeypatch.setattr(f"{change}.FINISH", GuestCommand(("sh", "-c", ":"), "nothing"))
        monkeypatch.setattr(f"{change}.explain_record", lambda *_: ())
        monkeypatch.setattr(f"{change}.WORTH_BYTES", leave)
        if not leave:
            monkeypatch.setattr(f"{change}.find_device", lambda folder: None)
        plan = plan_of()
        repository = make_repository(scratch.folder("repository"), plan, ())
        return apply_plan(
            DiskFile(self.path, 0, self.path.stat().st_size),
            self.parts,
            plan,
            repository,
            scratch,
            now_ns=NOW * 10**9,
            timeout_seconds=60,
            progress=progress or Silent(),
        )

    def facts_of(self, changed: Changed) -> dict[str, Fact]:
        """Every path after a change: its inode, where its content lies, what it is and wears."""
        found: dict[str, Fact] = {}
        for number, part in enumerate(self.parts):
            with self.volume(changed, number) as volume:
                for path, inode in volume.walk():
                    content, worn = hashlib.sha256(), volume.read_attributes(inode)
                    runs = volume.read_runs(inode) if stat.S_ISREG(inode.mode) else []
                    for offset, piece in volume.read_content(inode, runs) if runs else ():
                        content.update(b"%d:" % offset + piece)
                    raw = bytearray(inode.raw)
                    for begin, end in MOMENTS:
                        raw[begin:end] = bytes(end - begin)
                    facts = inode.number, bytes(raw), runs, worn, content.hexdigest()
                    found[part.mount.rstrip("/") + path] = facts
        return found

    @contextmanager
    def volume(self, changed: Changed, number: int = 0) -> Iterator[ExtVolume]:
        """A filesystem as it is after a change."""
        with (
            open_disk(self.path) as disk,
            Overlay.open(Path(changed.overlay), disk) as overlay,
        ):
            opened = ExtVolume(Region(overlay, self.parts[number].on_disk, "test"), "test")
            try:
                yield opened
            finally:
                opened.close()
