"""The guest's commands inside of a user-mode kernel: the same files as in the sandbox on ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from regild.change.uml import _check
from regild.errors import GuestCommandFailed, GuestCommandHung, Malformed, RegildError
from regild.model.json import to_json
from regild.model.plan import Carrier
from regild.model.record import Entry, Inode, Record
from tests.change.guests import Guest, Result, build_deb, guest_of
from tests.change.laid import Laid, laid_out
from tests.change.test_apply import digest
from tests.change.test_boot import TIMES, essence
from tests.change.test_volumes import result_of
from tests.host.apart import all_gone

POSTINST = """
    chown 33:50 /usr/share/zip/big
    chmod 4755 /usr/share/zip/big
    mkfifo /usr/share/zip/pipe
    ln -s ../../secret /usr/share/zip/link
    mkdir -p /var/lib/zip/deep && echo state > /var/lib/zip/deep/file
    touch -d '1999-01-01 00:00:00.123456789 UTC' /usr/share/zip/twin
    rm -rf /usr/share/doc/zip
    truncate -s 1M /var/lib/zip/holes
    uname -r > /var/lib/zip/kernel
    if [ -e /sys/class/net ] || (echo x > /proc/sys/kernel/core_pattern) 2>&-; then exit 9; fi
    invoke-rc.d zip start
    # /var/lib/zip is named here, so the gate knows whose it is
"""

kernel = pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is missing")


@pytest.fixture(scope="module")
def guest(small_ova: Path) -> Guest:
    return guest_of(small_ova)


def outcome(
    guest: Guest, folder: Path, script: str, carrier: Carrier, seconds: float = 400
) -> dict[str, object]:
    """Apply one package and tell of every changed path what it became."""
    folder.mkdir()
    files = {"/usr/bin/zip": b"new", "/usr/share/zip/big": b"x" * 3_000_000}
    links = {"/usr/share/zip/twin": "/usr/bin/zip"}
    deb = build_deb(folder, "zip", "99", files, links, postinst=script)
    with guest.job(folder) as job:
        changed = guest.apply(job, deb, timeout_seconds=seconds, carrier=carrier)
        assert changed.carrier == carrier
        result = Result(guest, changed)
        told = {row.path: essence(result, row.path) for row in changed.explained}
        if carrier == "uml":
            ran = result.content("/var/lib/zip/kernel").decode().strip()
            assert ran and ran != os.uname().release
        result.close()
    return told


@kernel
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_kernel_of_its_own_gives_the_same_files(guest: Guest, tmp_path: Path) -> None:
    before = digest(guest.disk.path)
    uml = outcome(guest, tmp_path / "uml", POSTINST, "uml")
    record = outcome(guest, tmp_path / "record", POSTINST, "record")
    assert digest(guest.disk.path) == before
    same = [one for one in (*uml, *record) if not one.startswith((*TIMES, "/var/lib/zip/kernel"))]
    assert [one for one in same if uml.get(one) != record.get(one)] == []
    assert all_gone("linux.uml")


@kernel
@pytest.mark.nightly
@pytest.mark.root
@pytest.mark.timeout(900)
def test_volumes_of_several_kinds_are_one_tree_in_there_too(
    small_ova: Path, tmp_path: Path
) -> None:
    layout = (Laid("/", "xfs", 640), Laid("/var", "ext4", 200), Laid("/boot", "ext2", 40))
    guest = laid_out(small_ova, tmp_path, layout)
    files = {"/usr/bin/zip": b"new", "/var/lib/zip/state": b"state", "/boot/zip.img": b"boot"}
    script = """
        cd /var/lib/zip
        ln /usr/bin/zip crossed 2> refused || mv /boot/zip.img moved && cp -a moved /boot/zip.img"""
    deb = build_deb(tmp_path, "zip", "99", files, postinst=script)
    with guest.job(tmp_path) as job:
        changed = guest.apply(job, deb, carrier="uml", timeout_seconds=400)
        with result_of(guest, changed.overlay) as tree:
            for path, content in files.items():
                assert tree.read(path, 1 << 20) == content, path
            assert tree.read("/var/lib/zip/moved", 100) == b"boot"
            assert b"Invalid cross-device link" in tree.read("/var/lib/zip/refused", 1000)


@kernel
@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("script", "kind", "seconds"),
    [("echo no-way; exit 5", GuestCommandFailed, 400), ("sleep 10000", GuestCommandHung, 45)],
    ids=["fails", "hangs"],
)
def test_what_fails_in_there_is_told_in_one_sentence_and_its_words_are_kept(
    guest: Guest, tmp_path: Path, script: str, kind: type[RegildError], seconds: float
) -> None:
    with pytest.raises(kind) as caught:
        outcome(guest, tmp_path / "job", script, "uml", seconds)
    assert "\n" not in str(caught.value)
    assert b"apt-get" in (tmp_path / "job/job/guest/guest.log").read_bytes()
    assert all_gone("linux.uml")


@pytest.mark.parametrize(
    "entry",
    [
        Entry("relative", Inode("absent"), Inode("fifo")),
        Entry("/../host", Inode("absent"), Inode("fifo")),
        Entry("/a//b", Inode("absent"), Inode("fifo")),
        Entry("/a", Inode("absent"), Inode("file", bytes=11), content_at=0),
        Entry("/a", Inode("absent"), Inode("file", bytes=1), content_at=-1),
    ],
    ids=["relative", "above", "empty", "beyond", "before"],
)
def test_a_record_that_no_honest_kernel_leaves_is_refused(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(bytes(10))
    (tmp_path / "record.json").write_text(to_json(Record((entry,), 10)))
    with pytest.raises(Malformed):
        _check(tmp_path)
