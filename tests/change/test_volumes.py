"""A guest on several volumes: one tree to its packages' scripts, several to who writes it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.tree import Part, check_parts
from regild.errors import GuestFull, Malformed
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.image.tree import Tree
from tests.change.guests import Guest, build_deb
from tests.change.laid import Laid, laid_out, volumes_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

SEPARATE = (
    Laid("/", "ext4", 80),
    Laid("/usr", "ext4", 360, logical=True),
    Laid("/var", "ext3", 200, logical=True),
    Laid("/boot", "ext2", 40),
    Laid("/srv/home", "ext4", 40),
)


@pytest.fixture(scope="module")
def separate(small_ova: Path, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return laid_out(small_ova, tmp_path_factory.mktemp("separate"), SEPARATE)


@contextlib.contextmanager
def result_of(guest: Guest, overlay: str) -> Iterator[Tree]:
    with (
        open_disk(guest.disk.path) as disk,
        Overlay.open(Path(overlay), disk) as changed,
        open_guest(changed) as opened,
    ):
        assert [one.path for one in opened.mounts] == [one.mount for one in guest.parts]
        assert opened.unknowns == ()
        yield opened.tree


def test_separate_and_logical_volumes_are_one_tree_to_scripts_and_several_to_the_writer(
    separate: Guest, tmp_path: Path
) -> None:
    tmp_path.parent.chmod(0o755)
    files = {"/usr/bin/zip": b"new", "/var/lib/zip/large": os.urandom(3_000_000)}
    files |= {"/boot/zip.img": b"boot" * 5000, "/srv/home/zip/one": b"home", "/etc/zip": b"etc"}
    deb = build_deb(
        tmp_path,
        "zip",
        "99",
        files,
        postinst="""
            cd /var/lib/zip
            ln /usr/bin/zip crossed 2> refused || echo "no link to another volume" > answer
            mv /boot/zip.img moved && cp -a moved /boot/zip.img""",
    )
    with separate.job(tmp_path) as job:
        changed = separate.apply(job, deb)
        with result_of(separate, changed.overlay) as tree:
            for path, content in files.items():
                assert tree.read(path, 1 << 22) == content, path
            assert tree.read("/var/lib/zip/answer", 100) == b"no link to another volume\n"
            assert b"Invalid cross-device link" in tree.read("/var/lib/zip/refused", 1000)
            assert tree.read("/var/lib/zip/moved", 1 << 20) == files["/boot/zip.img"]


def test_each_volume_has_room_of_its_own(separate: Guest, tmp_path: Path) -> None:
    tmp_path.parent.chmod(0o755)
    fill = "head -c 45M /dev/urandom > /srv/home/zip-large"
    deb = build_deb(tmp_path, "zip", "99", postinst=fill)
    with separate.job(tmp_path) as job, pytest.raises(GuestFull, match="/srv/home"):
        separate.apply(job, deb)


def test_volumes_that_share_bytes_are_refused() -> None:
    root = Part("/", 0, 1000, "ext4")
    with pytest.raises(Malformed, match=r"the same bytes of the disk as /$"):
        check_parts((root, Part("/var", 5000, 200, "ext4", places=((2000, 100), (900, 100)))))
    check_parts((root, Part("/var", 5000, 200, "ext4", places=((2000, 100), (1000, 100)))))


def test_e2fsck_finds_nothing_in_any_of_them(separate: Guest, tmp_path: Path) -> None:
    tmp_path.parent.chmod(0o755)
    deb = build_deb(tmp_path, "zip", "99", {f"/var/lib/zip/{n}": b"x" * n for n in range(2000)})
    with separate.job(tmp_path) as job:
        changed = separate.apply(job, deb)
        with (
            open_disk(separate.disk.path) as disk,
            Overlay.open(Path(changed.overlay), disk) as now,
        ):
            volumes = volumes_of(separate.parts, now, tmp_path)
        for volume in volumes.values():
            done = subprocess.run(["e2fsck", "-fn", volume], capture_output=True, check=False)
            assert done.returncode == 0, done.stdout
