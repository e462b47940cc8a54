"""Small XFS and btrfs volumes through a user-mode kernel: out, changed, back, and refused."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.change.kernel import read_out, write_in
from regild.change.record import read_record
from regild.change.tree import Part
from regild.change.unpack import Unpacking
from regild.errors import HostError, UnsupportedFilesystem
from regild.host.uml import run_in_kernel
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.model.progress import Silent
from tests.change.laid import volumes_of
from tests.image.disks import tool
from tests.image.mounted import mounted
from tests.journey.machine import settled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is not installed"),
]
MIB = 1 << 20


def made(folder: Path, kind: str, fill: Callable[[Path], None]) -> tuple[Path, Part]:
    """A disk with one volume behind its first MiB."""
    volume, disk = folder / "volume", folder / "disk"
    with volume.open("wb") as file:
        file.truncate(320 * MIB)
    tool(f"mkfs.{kind}", "-q", volume)
    with mounted(volume, folder / "filled") as root:
        fill(root)
    assert settled(volume, seconds=60).loops == ()
    tool("dd", f"if={volume}", f"of={disk}", "bs=1M", "seek=1", "conv=sparse", "status=none")
    size = 321 * MIB
    os.truncate(disk, size)
    return disk, Part("/srv", MIB, 320 * MIB, kind)


def filled(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder/one").write_bytes(b"one" * 5000)
    (root / "folder/two").write_bytes(b"two")
    (root / "twin").hardlink_to(root / "folder/two")
    tool("setfacl", "-m", "u:33:rw", root / "folder/two")
    os.chown(root / "folder/one", 100000, 70000)
    (root / "folder/one").chmod(0o4750)
    # cap_net_raw+ep, version 2 (linux/capability.h)
    raw = bytes.fromhex("01000002002000000000000000000000000000 00".replace(" ", ""))
    os.setxattr(root / "folder/one", "security.capability", raw)
    (root / "gone/deep").mkdir(parents=True)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_record_arrives_and_everything_else_stays(kind: str, tmp_path: Path) -> None:
    path, part = made(tmp_path, kind, filled)
    job = tmp_path / "job"
    job.mkdir()
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    lower.mkdir()
    (lower / "srv").mkdir()
    with open_disk(path) as disk:
        (stream,), rooms = read_out(disk, [part], (part,), job)
        assert rooms["/srv"].free_blocks * rooms["/srv"].block_bytes > 100 * MIB
        with stream.open("rb") as source:
            Unpacking(str(lower / "srv"), "/srv", "test", Silent()).run(source)
        upper_of(upper)
        with (job / "content").open("wb") as content:
            record = read_record(upper, lower, content, 1 << 30)
        with Overlay.create(tmp_path / "overlay", disk) as overlay:
            found = write_in(overlay, [part], lambda _part: list(record.entries), job)
            assert [one.kind for one in found["/srv"]] == [
                entry.becomes.kind for entry in record.entries
            ]
            assert len(overlay.changed()) < 120
            volume = volumes_of([part], overlay, tmp_path)["/srv"]
    with mounted(volume, tmp_path / "after", "ro") as root:
        one = (root / "folder/one").lstat()
        assert (one.st_uid, one.st_gid, stat.S_IMODE(one.st_mode)) == (100000, 70000, 0o4750)
        assert os.getxattr(root / "folder/one", "security.capability")
        assert b"user:33:rw-" in tool_says("getfacl", "-n", root / "twin")
        assert (root / "twin").read_bytes() == b"two"
        assert (root / "new/file").read_bytes() == b"new" * 100_000
        assert (root / "new/twin").lstat().st_nlink == 2
        assert (root / "new/file").lstat().st_mtime_ns == 1_234_567_890_123_456_789
        assert not (root / "gone").exists()


def upper_of(upper: Path) -> None:
    """What overlayfs leaves of a change."""
    (upper / "srv/new").mkdir(parents=True)
    (upper / "srv/new/file").write_bytes(b"new" * 100_000)
    (upper / "srv/new/twin").hardlink_to(upper / "srv/new/file")
    os.utime(upper / "srv/new/file", ns=(1, 1_234_567_890_123_456_789))
    os.mknod(upper / "srv/gone", stat.S_IFCHR, 0)


def tool_says(*words: object) -> bytes:
    return subprocess.run([str(word) for word in words], capture_output=True, check=True).stdout


def test_what_the_kernel_does_not_mount_is_said_in_its_words(tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(20 * MIB)
    part = Part("/srv", 0, 20 * MIB, "xfs")
    with open_disk(tmp_path / "disk") as disk, pytest.raises(UnsupportedFilesystem):
        read_out(disk, [part], (part,), tmp_path)


def test_a_kernel_that_dies_or_hangs_is_an_error(tmp_path: Path) -> None:
    for number, (module, seconds, why) in enumerate(
        (("regild.nothing", 120.0, "No module named"), ("antigravity", 0.2, "it was ended after"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(HostError, match=why):
            run_in_kernel(module, {}, [], folder, purpose="to test", timeout_seconds=seconds)
