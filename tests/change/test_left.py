"""Data that are left in the image: scripts find and change them as if they had been taken out."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import threading
import time
from pathlib import Path

import pytest

from regild.change import apply
from regild.change.extract import TAKEN, Taken
from regild.change.left import LARGE_BYTES, LEFT, worth_leaving
from regild.errors import DiskFull, HostError, InputError, LinkSplit, RecordRefused
from regild.host.fuse import NUMBER
from regild.image.ext import Inode
from regild.model.json import from_json
from regild.model.record import Record
from tests.change.guests import build_deb, guest_of
from tests.change.shelled import SETTLE, Shelled
from tests.host.apart import ROOT, alive_with, descendants, run_as, user_with_ids
from tests.image.disks import tool

MIB = 1 << 20
ODD = "odd \\ '\n\udcff"
pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


def noise(number: int, size: int) -> bytes:
    """Bytes that no two files share, the same in each run."""
    import random

    return random.Random(number).randbytes(size)


def fill(roots: dict[str, Path]) -> None:
    root, more = roots["/"], roots["/more"]
    files = {
        root / "srv/big": noise(1, 3 * MIB + 5),
        root / "srv/gone": noise(2, MIB),
        root / "srv/renamed": noise(3, MIB),
        root / "srv/linked": noise(4, MIB),
        root / "srv/moded": noise(5, MIB),
        root / "srv/untouched": noise(6, MIB),
        root / "srv/held": noise(7, 5000),
        root / "srv/middle": noise(8, 2 * MIB),
        root / "srv/short": noise(9, MIB),
        root / "srv/folder/a/one": noise(10, 10_000),
        root / "srv/folder/b/two": noise(11, 10_000),
        root / "srv/moved/deep/three": noise(12, 10_000),
        root / "srv/replaced": noise(13, 10_000),
        root / "srv/twin": noise(14, 20_000),
        root / "srv/labelled": noise(15, 20_000),
        root / "srv/empty": b"",
        root / "srv/tiny": b"inline",
        root / "srv/able": noise(16, 4096),
        root / "etc/setting": b"setting\n",
        more / "data": noise(17, 2 * MIB),
        more / "deep/er": noise(18, 30_000),
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    Path(os.fsdecode(os.fsencode(root) + b"/srv/") + ODD).write_bytes(noise(19, 5000))
    os.link(root / "srv/twin", root / "srv/folder/twin-too")
    os.link(root / "etc/setting", root / "srv/setting-too")
    with (root / "srv/holes").open("wb") as file:
        file.write(noise(20, MIB))
        file.seek(5 * MIB)
        file.write(noise(21, MIB))
        file.truncate(9 * MIB)
    os.chown(root / "srv/big", 100_000, 70_000)
    (root / "srv/moded").chmod(0o4640)
    wear(root / "srv/labelled")
    os.setxattr(root / "srv/able", "security.capability", CAPABLE)


CAPABLE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service=ep (linux/capability.h, VFS_CAP_REVISION_2)."""


def wear(path: Path) -> None:
    os.setxattr(path, "user.mine", b"y" * 100)
    os.setxattr(path, "user.overlay.opaque", b"y")
    rights = ((1, 6, -1), (2, 4, 1000), (4, 4, -1), (16, 4, -1), (32, 0, -1))
    access = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, right, who & 0xFFFFFFFF) for tag, right, who in rights
    )
    os.setxattr(path, "system.posix_acl_access", access)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Shelled:
    folder = tmp_path_factory.mktemp("shelled")
    guest = Shelled(folder, {"/": 64 * MIB, "/more": 16 * MIB})
    guest.make(folder, fill)
    tool("debugfs", "-w", "-R", "set_inode_field /srv/held flags 0x80010", guest.path)
    return guest


TOUCHED = f"""
cd /srv
mkdir /etc/seen; (cat big; cat holes; cat {ODD[:3]}*; cat /more/data) | sha256sum > /etc/seen/sum
find /srv /more -type f | sort | while read -r name; do
    stat -c '%n %s %h %u %g %a' "$name" >> /etc/seen/stat || true; done
echo more >> big
dd if=/etc/setting of=middle bs=1 seek=1000000 conv=notrunc
truncate -s 70000 short
rm gone
mv renamed renamed-now
ln linked linked-too
chmod 600 moded; chown 5:6 moded
rm -r folder/a
mv moved moved-now
rm replaced; mkdir replaced; echo in > replaced/in
echo new > folder/new
cp untouched copied
echo more >> labelled
setfattr -n user.more -v yes able
echo x >> holes
mv {ODD[:3]}* plain
cat empty tiny > joined
echo more >> tiny
mv /more/deep /srv/crossed
echo more >> /more/data
{SETTLE}
"""


def normal(record: Record) -> Record:
    """A record with the numbers that only tell old hard links apart counted from one."""
    from msgspec.structs import replace

    seen: dict[int, int] = {}
    entries = []
    for entry in record.entries:
        group = entry.was.group and seen.setdefault(entry.was.group, len(seen) + 1)
        entries.append(replace(entry, was=replace(entry.was, group=group)))
    return replace(record, entries=tuple(entries))


def test_the_record_and_the_image_are_those_of_taking_everything_out(
    guest: Shelled, tmp_path: Path
) -> None:
    found = []
    for leave in (1, 0):
        with pytest.MonkeyPatch.context() as patch, guest.job(tmp_path / str(leave)) as job:
            changed = guest.change(job, patch, TOUCHED, leave=leave)
            taken = from_json(Taken, (job.guest / TAKEN).read_bytes())
            record = from_json(Record, (job.guest / "record.json").read_bytes())
            content = (job.guest / "content").read_bytes()
            found.append((normal(record), content, guest.facts_of(changed)))
            assert (job.guest / LEFT).exists() == bool(leave)
            assert (taken.bytes_left > 12 * MIB) == bool(leave)
            # What was taken out: the programs, and nothing of the data.
            assert taken.bytes_taken < 16 * MIB or not leave
    (left, content, image), (all_out, content_too, image_too) = found
    assert left == all_out
    assert content == content_too
    assert image == image_too
    paths = {entry.path: entry for entry in left.entries}
    assert paths["/srv/gone"].becomes.kind == "absent"
    assert paths["/srv/big"].was.uid == 100_000
    assert paths["/srv/labelled"].was.attributes
    assert "/srv/untouched" not in paths


def test_an_immutable_file_that_was_left_may_not_be_changed(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guest.job(tmp_path) as job, pytest.raises(RecordRefused, match="immutable"):
        guest.change(job, monkeypatch, "echo x >> /srv/held")


def test_names_of_a_file_that_was_left_may_not_come_apart(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guest.job(tmp_path) as job, pytest.raises(LinkSplit):
        guest.change(job, monkeypatch, "echo x >> /srv/twin")


def test_content_that_cannot_be_read_ends_the_change(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script does not mind, but the change does."""
    cut = Shelled(tmp_path, guest.sizes)
    cut.path.write_bytes(guest.path.read_bytes())
    with cut.job(tmp_path / "job") as job:
        spoil = threading.Thread(target=lambda: _server() and os.truncate(cut.path, MIB))
        spoil.start()
        names = "gone renamed linked moded untouched middle short big"
        script = f"for name in {names}; do sleep 1; cat /srv/$name > /dev/null || true; done"
        with pytest.raises(InputError, match="cut off"):
            cut.change(job, monkeypatch, script)
        spoil.join()


BIG_MODED = "chmod 600 /srv/big || true"


def test_a_copy_that_memory_has_no_room_for_is_made_on_the_disk(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "_changes_bytes", lambda plan: 0)
    monkeypatch.setattr(apply, "_memory_for", lambda *_, **__: apply._Memory(64 * MIB, 2 * MIB))
    with guest.job(tmp_path) as job:
        guest.change(job, monkeypatch, BIG_MODED)
        record = from_json(Record, (job.guest / "record.json").read_bytes())
    assert {entry.path: entry.becomes.mode for entry in record.entries} == {"/srv/big": 0o600}


def test_where_nothing_has_room_for_a_copy_no_script_is_run(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "_changes_bytes", lambda plan: 1 << 60)
    with guest.job(tmp_path) as job, pytest.raises(DiskFull, match="largest file of data"):
        guest.change(job, monkeypatch, BIG_MODED)


def _server(seconds: float = 60) -> int:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = set(alive_with("regild.change.show")) & descendants()
        names = {one: Path(f"/proc/{one}/comm").read_text() for one in found}
        if pythons := [one for one, name in names.items() if name.startswith("python")]:
            return pythons[0]
        time.sleep(0.05)
    return 0


def test_a_server_that_dies_ends_the_change(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def end() -> None:
        ended.append(_server())
        time.sleep(1)
        os.kill(ended[0], signal.SIGKILL)

    killer = threading.Thread(target=end)
    killer.start()
    script = "for n in 1 2 3 4 5 6; do cat /srv/big > /dev/null || true; sleep 1; done"
    with guest.job(tmp_path) as job, pytest.raises(HostError, match="show"):
        guest.change(job, monkeypatch, script)
    killer.join()
    assert ended[0]
    assert not (tmp_path / "job/guest/overlay").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_where_nothing_can_be_shown_all_is_taken_out(
    guest: Shelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.write_bytes(b"no device")
    closed.chmod(0o666)
    monkeypatch.setattr("regild.change.apply.find_device", lambda folder: closed)
    with guest.job(tmp_path / "job") as job:
        changed = guest.change(job, monkeypatch, "cat /srv/big | sha256sum > /etc/sum")
        taken = from_json(Taken, (job.guest / TAKEN).read_bytes())
        assert (taken.bytes_left, changed.entries) == (0, 2)


SPOKEN = """: /var/lib/zip
mkdir -p /var/lib/zip; cp /var/log/dpkg.log /var/lib/zip/seen
sha256sum /root/.bashrc /var/cache/debconf/templates.dat > /var/lib/zip/sums
"""


def test_a_real_guest_finds_the_same_and_leaves_the_same(small_ova: Path, tmp_path: Path) -> None:
    """Whatever apt, dpkg and scripts find below /var and /root lies in the image."""
    debian, found = guest_of(small_ova), []
    for leave in (1, 1 << 50):
        folder = tmp_path / str(leave)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch, debian.job(folder) as job:
            patch.setattr("regild.change.apply.WORTH_BYTES", leave)
            deb = build_deb(folder, "zip", "99", {"/usr/bin/zip": b"new"}, postinst=SPOKEN)
            debian.apply(job, deb)
            assert (job.guest / LEFT).exists() == (leave == 1)
            record = normal(from_json(Record, (job.guest / "record.json").read_bytes()))
            found.append({entry.path: entry for entry in record.entries})
    left, all_out = found
    assert left.keys() == all_out.keys()
    for path, entry in left.items():
        assert entry.was == all_out[path].was
    for path in ("/usr/bin/zip", "/var/lib/zip/sums", "/var/lib/dpkg/info/zip.list"):
        assert left[path].becomes.digest == all_out[path].becomes.digest


AS_USER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import pytest
from tests.change.guests import build_deb, guest_of
from tests.change.shelled import Shelled
folder = Path({folder!r})
guest = Shelled(folder.parent, {sizes!r})
with pytest.MonkeyPatch.context() as patch, guest.job(folder) as job:
    patch.setattr("regild.change.apply.find_device", lambda folder: Path({device!r}))
    changed = guest.change(job, patch, "echo more >> /srv/moded; sha256sum /srv/gone > /etc/sum")
    assert (job.guest / "left.json").exists()
    volume = guest.facts_of(changed)
    print(changed.entries, (job.guest / "content").read_bytes()[-5:])
"""


def fill_a_little(roots: dict[str, Path]) -> None:
    for name in ("moded", "gone"):
        (roots["/"] / "srv" / name).write_bytes(noise(1, MIB))
    os.chown(roots["/"] / "srv/moded", 33, 65_000)


def test_an_ordinary_user_is_shown_data_too(tmp_path: Path) -> None:
    user = user_with_ids()
    folder = tmp_path / "work"
    folder.mkdir()
    own = Shelled(folder, {"/": 64 * MIB})
    own.make(folder, fill_a_little)
    device = folder / "fuse"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(*NUMBER))
    device.chmod(0o666)
    (folder / "jobs").mkdir()
    for place in (folder, folder / "jobs"):
        shutil.chown(place, user)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(0o755)
    asked = {"root": str(ROOT), "folder": str(folder / "jobs"), "sizes": own.sizes}
    done = run_as(user, AS_USER.format(**asked, device=str(device)))
    # The file of the data, a new one, and the folder that it is in.
    assert done.stdout.strip() == "3 b'more\\n'", done.stderr


def inode(number: int, size: int) -> Inode:
    return Inode(number, 0o100644, 0, 0, size, 0, 1, 0, False, 0, bytes(256))


def test_what_packages_work_with_is_taken_out_and_data_are_left() -> None:
    names = {
        1: ["/usr/bin/tool"],
        2: ["/srv/data"],
        3: ["/var/lib/dpkg/status"],
        4: ["/var/lib/mysql/one.ibd"],
        5: ["/usr/share/model"],
        6: ["/etc/setting", "/srv/setting"],
        7: ["/usrlocal/x"],
    }
    sizes = dict.fromkeys(names, 1000) | {5: LARGE_BYTES}
    files = [inode(number, sizes[number]) for number in names]
    assert worth_leaving(files, names, "/", 1) == {2, 4, 5, 7}
    assert worth_leaving(files, names, "/", LARGE_BYTES + 5000) == frozenset()


def test_paths_are_judged_as_the_guest_has_them() -> None:
    files, names = [inode(1, 1000), inode(2, 1000)], {1: ["/bin/x"], 2: ["/lib/dpkg/status"]}
    assert worth_leaving(files, names, "/usr", 1) == frozenset()
    assert worth_leaving(files, names, "/var", 1) == {1}
    assert worth_leaving(files, names, "/home", 1) == {1, 2}
