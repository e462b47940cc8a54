"""XFS and btrfs, read out and written by a user-mode kernel, and looked at by this machine's."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import RecordRefused
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from tests.change.guests import Guest, build_deb
from tests.change.laid import Laid, laid_out, volumes_of
from tests.image.mounted import mounted

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is not installed"),
]

MIXED = (
    Laid("/", "xfs", 400),
    Laid("/boot", "ext2", 40),
    Laid("/var", "btrfs", 300, logical=True),
)


@pytest.fixture(scope="module")
def mixed(small_ova: Path, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    def mark(root: Path) -> None:
        (root / "srv/kept").mkdir()
        (root / "srv/kept/fixed").write_text("x")
        os.setxattr(root / "srv/kept/fixed", "user.note", b"kept")
        os.chown(root / "srv/kept/fixed", 100000, 70000)
        os.mknod(root / "srv/kept/device", stat.S_IFCHR | 0o600, os.makedev(1, 7))

    return laid_out(small_ova, tmp_path_factory.mktemp("mixed"), MIXED, mark)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    tmp_path.parent.chmod(0o755)
    yield tmp_path


def test_a_change_arrives_on_xfs_and_btrfs_as_this_machines_kernel_sees_it(
    mixed: Guest, folder: Path
) -> None:
    files = {"/usr/bin/zip": b"new", "/var/lib/zip/one": b"1" * 70000, "/boot/zip": b"b"}
    deb = build_deb(
        folder,
        "zip",
        "99",
        files,
        links={"/usr/bin/zip-twin": "/usr/bin/zip"},
        symlinks={"/var/lib/zip/link": "../../../usr/bin/zip"},
        postinst="""
            chown 33:100000 /usr/bin/zip && chmod 4750 /usr/bin/zip
            mkfifo /var/lib/zip/pipe
            cd /var/lib/zip && truncate -s 8M holes && echo end >> holes
            touch -d '1999-01-01 00:00:00.123456789 UTC' /var/lib/zip/one""",
    )
    with mixed.job(folder) as job:
        changed = mixed.apply(job, deb, timeout_seconds=300)
        with (
            open_disk(mixed.disk.path) as disk,
            Overlay.open(Path(changed.overlay), disk) as now,
        ):
            volumes = volumes_of(mixed.parts, now, folder)
    with (
        mounted(volumes["/"], folder / "root", "ro") as root,
        mounted(volumes["/var"], folder / "var", "ro") as var,
        mounted(volumes["/boot"], folder / "boot", "ro") as boot,
    ):
        program = (root / "usr/bin/zip").lstat()
        assert (root / "usr/bin/zip").read_bytes() == b"new"
        assert (program.st_uid, program.st_gid, program.st_nlink) == (33, 100000, 2)
        assert stat.S_IMODE(program.st_mode) == 0o4750
        assert (root / "usr/bin/zip-twin").lstat().st_ino == program.st_ino
        assert not (root / "usr/share/doc/zip").exists()
        kept = (root / "srv/kept/fixed").lstat()
        assert (kept.st_uid, kept.st_gid) == (100000, 70000)
        assert os.getxattr(root / "srv/kept/fixed", "user.note") == b"kept"
        assert (root / "srv/kept/device").lstat().st_rdev == os.makedev(1, 7)
        one = (var / "lib/zip/one").lstat()
        assert (var / "lib/zip/one").read_bytes() == files["/var/lib/zip/one"]
        assert one.st_mtime_ns == 915_148_800_123_456_789
        assert str((var / "lib/zip/link").readlink()) == "../../../usr/bin/zip"
        assert stat.S_ISFIFO((var / "lib/zip/pipe").lstat().st_mode)
        holes = (var / "lib/zip/holes").lstat()
        assert (holes.st_size, holes.st_blocks < 2048) == ((8 << 20) + 4, True)
        assert (boot / "zip").read_bytes() == b"b"


def test_what_the_guest_made_immutable_is_refused_before_writing(
    small_ova: Path, folder: Path
) -> None:
    def mark(root: Path) -> None:
        (root / "var/lib/zip").mkdir()
        (root / "var/lib/zip/held").write_text("x")
        shutil.copy(root / "var/lib/zip/held", root / "var/lib/zip/other")
        os.system(f"chattr +i {root}/var/lib/zip/held")

    guest = laid_out(small_ova, folder, (Laid("/", "xfs", 450),), mark)
    for name, text in (("held", "is immutable"), ("other", "")):
        deb = build_deb(folder / name, "zip", "99", postinst=f"echo y > /var/lib/zip/{name}")
        with guest.job(folder / name) as job:
            if text:
                with pytest.raises(RecordRefused, match=text):
                    guest.apply(job, deb, timeout_seconds=300)
            else:
                guest.apply(job, deb, timeout_seconds=300)
