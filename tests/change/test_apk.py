"""What a plan compiles to for a guest of apk, the index that its apk is shown, who owns paths."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from regild.change.apk import compile_plan, write_index
from regild.change.apk_owners import _scripts, owned_in, read_owners
from regild.change.archives import archive_name
from regild.change.ended import check_ended
from regild.change.family import check_carrier
from regild.change.gate import explain_record
from regild.change.owners import Owned, Ran
from regild.errors import GuestCommandFailed, Malformed, RecordRefused, UnsupportedError
from regild.model.content import Planning, TextFile
from regild.model.digest import Digest
from regild.model.plan import Archive, Plan, Step
from regild.model.record import Entry, Inode, Record
from regild.plan.method import apk_method
from tests.change.apk_guests import NEW, OLD
from tests.describe.guests import MemoryTree
from tests.feeds.apk_packages import build, database_of

NOTHING = Digest("sha256:" + "0" * 64)
WEB = Step("upgrade", "web", "x86_64", "1.0-r0", "2.0-r0", type="apk",
           archive=Archive("x", "web-2.0-r0.apk", Digest("sha1:" + "7" * 40), 9))  # fmt: skip


def plan_of(*steps: Step, carrier: str = "record") -> Plan:
    return Plan(NOTHING, NOTHING, "disk", "upgrade", steps, carrier=carrier)  # type: ignore[arg-type]  # a word of a plan


def test_one_transaction_by_the_guests_own_apk() -> None:
    (command,) = compile_plan(plan_of(WEB))
    assert command.argv[0] == "apk"
    assert command.argv[-2:] == ("upgrade", "--no-self-upgrade")


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: web-2.0-r0.post-upgrade: exited with error 1",
        "  ERROR: lib/apk/exec/web: exited with error 127",
        "  mkinitfs failed!",
    ],
)
def test_a_script_that_fails_ends_the_update_whatever_apk_says(line: str) -> None:
    (command,) = compile_plan(plan_of(WEB))
    with pytest.raises(GuestCommandFailed):
        check_ended(command, 0, f"(1/1) Upgrading web\n{line}\nOK: 3 MiB\n", 10)
    check_ended(command, 0, "(1/1) Upgrading web (1 -> 2)\nOK: 3 MiB in 2 packages\n", 10)


def test_the_index_holds_the_plans_packages_under_apks_names(tmp_path: Path) -> None:
    (tmp_path / archive_name(WEB)).write_bytes(b"web")
    world = TextFile("/etc/apk/world", "web@edge\nmusl\n")
    planning = Planning(type="apk", architectures=("x86_64",), preferences=(world,))
    assert WEB.archive is not None
    gone = Step("remove", "gone", "x86_64", "1-r0", type="apk")
    write_index(tmp_path, plan_of(WEB, gone), {WEB.archive.digest: "P:web\nV:2.0-r0\n"}, planning)
    assert (tmp_path / "x86_64/web-2.0-r0.apk").read_bytes() == b"web"
    lines = (tmp_path / "repositories").read_text().splitlines()
    assert lines == ["/run/regild", "@edge /run/regild"]
    plain = gzip.decompress((tmp_path / "x86_64/APKINDEX.tar.gz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        file = archive.extractfile("APKINDEX")
        assert file is not None
        assert file.read() == b"P:web\nV:2.0-r0\n\n"


def test_a_guest_without_an_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="architecture"):
        write_index(tmp_path, plan_of(), {}, Planning(type="apk"))


def test_a_carrier_that_is_not_for_apk_is_refused_in_words() -> None:
    check_carrier(plan_of(WEB))
    check_carrier(plan_of(WEB, carrier="boot"))
    with pytest.raises(
        UnsupportedError, match="packages of apk are not changed by the carrier uml"
    ):
        check_carrier(plan_of(WEB, carrier="uml"))


@pytest.mark.parametrize(
    ("name", "method", "why"),
    [
        ("linux-virt", "offline", "features"),
        ("linux-lts", "offline", "features"),
        ("mkinitfs", "offline", "features"),
        ("linux-pam", "offline", "scripts"),
        ("busybox", "offline", "scripts"),
        ("syslinux", "boot", "starts from"),
        ("grub-efi", "boot", "starts from"),
        ("dracut", "boot", "running machine"),
    ],
)
def test_each_package_is_changed_where_that_is_safe(name: str, method: str, why: str) -> None:
    found, told = apk_method(name, ["musl", "busybox", name])
    assert found == method
    assert why in told


def test_a_kernel_beside_a_boot_loader_takes_the_machine() -> None:
    assert apk_method("linux-virt", ["syslinux"])[0] == "boot"
    assert apk_method("linux-virt", ["syslinux"])[1].startswith("syslinux is installed")
    assert apk_method("busybox", ["syslinux"])[0] == "offline"


def entry(path: str, was: Inode, becomes: Inode) -> Entry:
    return Entry(path, was, becomes)


ABSENT = Inode("absent")
FILE = Inode("file", mode=0o644, bytes=1, digest=NOTHING)
LINK = Inode("symlink", mode=0o777, target="/bin/busybox")
FOLDER = Inode("directory", mode=0o755)


def ran(tmp_path: Path, *entries: Entry) -> Ran:
    repository = tmp_path / "repository"
    repository.mkdir()
    for one in NEW:
        (repository / one.file_name).write_bytes(build(one)[0])
    (tmp_path / "tree").mkdir()
    tree = MemoryTree(database_of(OLD))
    owned = tuple(owned_in(tree, frozenset({"web", "extra"})))
    record = Record(entries, 0)
    return Ran(tmp_path / "merged", tmp_path / "tree", record, ("web", "extra"), repository, owned)


def test_every_kind_of_path_is_accounted_for(tmp_path: Path) -> None:
    found = ran(
        tmp_path,
        entry("/usr/share/web/a", FILE, FILE),
        entry("/usr/share/web/only-old", FILE, ABSENT),
        entry("/usr/share/extra", ABSENT, FILE),
        entry("/var/lib/web/state", ABSENT, FILE),
        entry("/var/lib/watch.seen", ABSENT, FILE),
        entry("/bin/wget", ABSENT, LINK),
        entry("/lib/apk/db/installed", FILE, FILE),
        entry("/etc/web/site.conf.apk-new", ABSENT, FILE),
        entry("/boot/initramfs-virt", FILE, FILE),
        entry("/etc/apk/world", FILE, FILE),
    )
    told = {one.path: one.by for one in explain_record(found.record, read_owners(found))}
    assert told == {
        "/usr/share/web/a": "package web",
        "/usr/share/web/only-old": "package web",
        "/usr/share/extra": "package extra",
        "/var/lib/web/state": "script of web",
        "/var/lib/watch.seen": "script of watch",
        "/bin/wget": "script of busybox",
        "/lib/apk/db/installed": "apk state",
        "/etc/web/site.conf.apk-new": "apk state",
        "/boot/initramfs-virt": "trigger mkinitfs",
        "/etc/apk/world": "apk state",
    }


def test_what_nobody_owns_is_refused(tmp_path: Path) -> None:
    found = ran(tmp_path, entry("/usr/lib/stranger", ABSENT, FILE))
    with pytest.raises(RecordRefused, match="/usr/lib/stranger"):
        explain_record(found.record, read_owners(found))


def test_packages_that_the_plan_leaves_alone_own_nothing_but_their_triggers() -> None:
    tree = MemoryTree(database_of(OLD))
    rows = {one.package: one for one in owned_in(tree, frozenset({"web"}))}
    assert rows["needed"] == Owned("needed")
    assert "watch.seen" in rows["watch"].scripts
    assert rows["watch"].paths == ()
    assert "/usr/bin/web" in rows["web"].paths
    assert list(owned_in(MemoryTree({}), frozenset())) == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/lib/apk/db/installed", "P:web\nV:1-r0"),
        ("/lib/apk/db/installed", "no field\n\n"),
        ("/lib/apk/db/scripts.tar.gz", "no gzip"),
    ],
)
def test_a_damaged_database_is_told(path: str, content: str) -> None:
    tree = MemoryTree({**database_of(OLD), path: content})
    with pytest.raises(Malformed):
        list(owned_in(tree, frozenset({"web"})))


def test_no_script_is_longer_than_the_archive_that_holds_it() -> None:
    whole = tarfile.TarInfo("web-1.0-r0.X1" + "0" * 40 + ".trigger")
    holes = tarfile.TarInfo("seen-1.0-r0.X1" + "0" * 40 + ".trigger")
    link = tarfile.TarInfo("more-1.0-r0.X1" + "0" * 40 + ".trigger")
    holes.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": f"0,1,{8 << 40},0",
        "GNU.sparse.size": str(8 << 40),
    }
    whole.size = holes.size = 1
    link.type, link.linkname = tarfile.LNKTYPE, whole.name
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(whole, io.BytesIO(b"w"))
        archive.addfile(holes, io.BytesIO(b"h"))
        archive.addfile(link)
    place = "/lib/apk/db/scripts.tar"
    assert _scripts(MemoryTree({place: out.getvalue()}), "/lib/apk/db").keys() == {"web-1.0-r0"}
