"""A change on XFS, btrfs and ext4 beside the same commands on the mounted disk: every inode with
its times and flags, holes and shared blocks."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from regild.change.apt import ENVIRONMENT, FOLDERS, compile_plan
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.image.spans import whole_units
from tests.change.guests import Deb, Guest, build_deb, plan_of
from tests.change.laid import Laid, laid_out, volumes_of
from tests.image.mounted import mounted
from tests.journey.machine import settled
from tests.journey.mounted_trees import XATTR, Facts, facts_below, holes, shared_bytes
from tests.journey.peers import run_below
from tests.journey.test_same_result import OWN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is not installed"),
]

MIB = 1 << 20
HOME = "/var/lib/zip"
SET_XATTR, INHERIT = 0x401C5820, 0x200
"""FS_IOC_FSSETXATTR and FS_XFLAG_PROJINHERIT of linux/fs.h."""
FLAGS = {"A": "noatime", "d": "nodump", "C": "nocow", "c": "compressed"}
"""Folders, each with a flag of chattr(1) where the filesystem has it."""
FOLDERS_OF = ("plain", "project", *FLAGS.values())

SCRIPT = f"""
cd {HOME}
for folder in {" ".join(FOLDERS_OF)}; do
    echo more >>$folder/written
    echo made >$folder/made
    mkdir $folder/below && echo below >$folder/below/file
    mv $folder/moved plain/moved-from-$folder
    chmod 600 $folder/touched
done
echo more >>plain/flagged-written
echo more >>plain/twin-written
truncate -s 64M holes
for at in 0 100 356 8000; do printf x | dd of=holes bs=4096 seek=$at conv=notrunc; done
printf y | dd of=sparse-written bs=4096 seek=5000 conv=notrunc
touch -d '1999-01-01 00:00:00.123456789 UTC' sparse
"""


def mark(root: Path) -> None:
    """What the guest has in its state: files in folders of every kind, twins, and holes."""
    home = root / HOME.lstrip("/")
    home.mkdir()
    source = random.Random(7)
    for name in FOLDERS_OF:
        (home / name).mkdir()
    for letter, name in FLAGS.items():
        subprocess.run(["chattr", f"+{letter}", home / name], stderr=subprocess.DEVNULL)
    set_project(home / "project", 42)
    for folder in FOLDERS_OF:
        for name in ("written", "replaced", "moved", "touched", "kept"):
            (home / folder / name).write_bytes(source.randbytes(70_000))
    for name in ("flagged-written", "flagged-replaced", "flagged-kept"):
        (home / "plain" / name).write_text(name)
        subprocess.run(["chattr", "+d", home / "plain" / name], stderr=subprocess.DEVNULL)
    for name in ("twin", "twin-written"):
        (home / f"plain/{name}").write_bytes(source.randbytes(1 << 20))
        line = ["cp", "--reflink=auto", home / f"plain/{name}", home / f"plain/{name}-first"]
        subprocess.run(line, check=True)
    for name in ("sparse", "sparse-written"):
        with (home / name).open("wb") as file:
            for at in (0, 3 << 20, (3 << 20) + (128 << 10), 40 << 20):
                file.seek(at)
                file.write(source.randbytes(4096))
            file.truncate(64 << 20)
    subprocess.run(["setfacl", "-m", "u:33:r", home / "plain/kept"], check=False)


def set_project(folder: Path, number: int) -> None:
    """Give a folder a project that what is made in it inherits, where its filesystem has such."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, SET_XATTR, XATTR.pack(INHERIT, 0, 0, number, 0))
    except OSError:
        pass
    finally:
        os.close(handle)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    tmp_path.parent.chmod(0o755)
    yield tmp_path


@pytest.mark.parametrize("filesystem", ["xfs", "btrfs", "ext4"])
def test_every_inode_is_as_the_mounted_disk_has_it(
    filesystem: str, small_ova: Path, folder: Path
) -> None:
    guest = laid_out(small_ova, folder, (Laid("/", filesystem, 800),), mark)
    files = {f"{HOME}/{one}/replaced": b"new" * 40_000 for one in FOLDERS_OF}
    files[f"{HOME}/plain/flagged-replaced"] = b"replaced"
    files |= {f"{HOME}/{one}/added": b"added" for one in FOLDERS_OF}
    deb = build_deb(folder, "zip", "99", files, postinst=SCRIPT)
    since = time.time_ns()
    # One after the other: a kernel mounts no two filesystems of one number at once. (A name space
    # that others made meanwhile may hold the first one for long; XFS can be told not to mind.)
    with changed(guest, deb, folder) as root:
        ours = Seen(root, since)
    with changed_by_hand(guest, deb, folder) as root:
        theirs = Seen(root, since)
    for path in BY_HAND:
        theirs.facts[path] = replace(theirs.facts[path], mtime_ns=ours.facts[path].mtime_ns)
    for path in (f"{HOME}/plain/moved-from-{one}" for one in FOLDERS_OF):
        own = ours.facts[path]
        known = replace(theirs.facts[path], flags=own.flags, project=own.project)
        theirs.facts[path] = replace(known, attributes=without_compression(known))
    wrong = differences(theirs.facts, ours.facts)
    assert not wrong, "\n".join(wrong)
    assert ours.holes == theirs.holes
    assert ours.shared == theirs.shared
    assert bool(ours.shared["twin"]) == (filesystem != "ext4")


class Seen:
    """What a mounted root shows."""

    def __init__(self, root: Path, since_ns: int) -> None:
        home = root / HOME.lstrip("/")
        self.facts = facts_below(root, OWN, since_ns)
        self.holes: dict[str, object] = {name: holes(home / name) for name in ("sparse", "holes")}
        # What is written to is copied by overlayfs first, a MiB at a time.
        self.holes["sparse-written"] = coarse(holes(home / "sparse-written"))
        self.shared = {name: shared_bytes(home / "plain" / name) for name in TWINS}


TWINS = ("twin", "twin-first", "twin-written", "twin-written-first")


@contextmanager
def changed(guest: Guest, deb: Deb, folder: Path) -> Iterator[Path]:
    """The guest's root as the record carrier leaves it."""
    with guest.job(folder) as job:
        done = guest.apply(job, deb, timeout_seconds=400)
        with open_disk(guest.disk.path) as disk, Overlay.open(Path(done.overlay), disk) as now:
            (folder / "new").mkdir()
            volumes = volumes_of(guest.parts, now, folder / "new")
        with mounted(volumes["/"], folder / "ours", "ro", *options_of(guest)) as root:
            yield root
        if not options_of(guest):
            assert settled(folder / "new", seconds=600).loops == ()


def options_of(guest: Guest) -> tuple[str, ...]:
    """For mount(8)."""
    return ("nouuid",) if guest.parts[0].filesystem == "xfs" else ()


@contextmanager
def changed_by_hand(guest: Guest, deb: Deb, folder: Path) -> Iterator[Path]:
    """The guest's root after its own apt ran over it, mounted by this machine's kernel."""
    (folder / "old").mkdir()
    with open_disk(guest.disk.path) as disk:
        volumes = volumes_of(guest.parts, disk, folder / "old")
    with mounted(volumes["/"], folder / "theirs", *options_of(guest)) as root:
        repository = folder / "job/repository"
        run_below(root, repository, compile_plan(plan_of(deb)), ENVIRONMENT, FOLDERS)
        os.sync()
        yield root


def coarse(found: tuple[tuple[int, int], ...]) -> list[range]:
    """The MiBs of a file of 64 in which there is nothing."""
    return list(whole_units(found, MIB, 64 * MIB))


def without_compression(facts: Facts) -> tuple[tuple[str, bytes], ...]:
    """A moved file's attributes: its flags, and this one of btrfs, are those of its new folder."""
    return tuple(row for row in facts.attributes if row[0] != "btrfs.compression")


BY_HAND = ("/dev", "/run", "/usr/sbin")
"""Folders in which the commands by hand keep what they need: their times are of that."""


def differences(expected: dict[str, Facts], found: dict[str, Facts]) -> list[str]:
    """The paths in which two trees are not the same, and in what."""
    return [
        f"{path}: {words(expected.get(path), found.get(path))}"
        for path in sorted(expected.keys() | found.keys())
        if expected.get(path) != found.get(path)
    ]


def words(expected: Facts | None, found: Facts | None) -> str:
    """What of a path differs."""
    if expected is None or found is None:
        return "is not there" if found is None else "was not there"
    names = [one.name for one in fields(Facts)]
    rows = ((name, getattr(expected, name), getattr(found, name)) for name in names)
    return ", ".join(f"{name} {was} != {now}" for name, was, now in rows if was != now)
