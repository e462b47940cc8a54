"""What a site wants cleared: it is gone, it is on record, and no link leads elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.clear import clear
from regild.change.gate import explain_entry
from regild.change.owners import Owners
from regild.change.seal import CLEARED, PLACES, is_looked_into
from regild.host.scratch import Scratch
from regild.model.digest import Digest
from regild.model.plan import Seal
from regild.model.record import Entry, Inode
from tests.change.guests import Guest, Result, build_deb, guest_of

pytestmark = pytest.mark.timeout(240)

FILES: dict[Seal, tuple[str, ...]] = {
    "machine-id": ("etc/machine-id", "var/lib/dbus/machine-id"),
    "host-keys": ("etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub"),
    "random-seed": ("var/lib/systemd/random-seed",),
    "caches": ("var/cache/apt/pkgcache.bin", "var/lib/apt/lists/x_InRelease"),
    "logs": ("var/log/syslog", "var/log/apt/history.log"),
    "temporary": ("tmp/x", "var/tmp/deep/y"),
}
OTHERS = ("etc/ssh/sshd_config", "etc/hostname", "var/cache/other/z", "var/lib/apt/extended_states")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for path in (*OTHERS, *(path for row in FILES.values() for path in row)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("content")
    return root


@pytest.mark.parametrize("seal", FILES)
def test_each_part_goes_alone(root: Path, seal: Seal) -> None:
    clear(root, (seal,))
    left = {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()
    }
    gone = {path for path in FILES[seal] if path != "etc/machine-id"}
    everything = {*OTHERS, *(path for row in FILES.values() for path in row)}
    assert left.keys() == everything - gone
    assert left["etc/machine-id"] == ("" if seal == "machine-id" else "content")


def test_the_words_are_the_same_everywhere() -> None:
    assert FILES.keys() == CLEARED.keys() == PLACES.keys()


def test_no_link_of_the_guest_is_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("kept")
    for place in ("var/log", "tmp"):
        folder = root / place
        (folder / "link").symlink_to(outside)
        (folder / "file").symlink_to(outside / "mine")
    (root / "var/tmp").rename(root / "var/elsewhere")
    (root / "var/tmp").symlink_to(outside)
    (root / "etc/machine-id").unlink()
    (root / "etc/machine-id").symlink_to(outside / "mine")
    clear(root, ("logs", "temporary", "machine-id"))
    assert (outside / "mine").read_text() == "kept"
    assert list((root / "var/log").rglob("*")) == [root / "var/log/apt"]
    assert (root / "etc/machine-id").is_symlink()


def test_only_what_may_be_cleared_is_looked_for_among_what_an_image_keeps() -> None:
    assert is_looked_into("/etc/machine-id", ("machine-id",))
    assert is_looked_into("/tmp", ("temporary",)) and is_looked_into("/tmp/x", ("temporary",))
    assert is_looked_into("/var/cache/apt", ("caches",))
    assert not is_looked_into("/etc/machine-id", ("logs", "host-keys"))
    assert not is_looked_into("/etc/ssh/ssh_host_rsa_key", ("machine-id",))
    assert not is_looked_into("/tmp", ())


def test_only_a_path_that_is_gone_is_accounted_for() -> None:
    nobody = Owners({}, {}, [])
    was = Inode("file", bytes=3, digest=Digest("sha256:" + "0" * 64))
    seal: tuple[Seal, ...] = ("machine-id", "temporary")

    def by(path: str, becomes: Inode) -> str:
        return explain_entry(Entry(path, was, becomes), nobody, (), seal).by

    assert by("/etc/machine-id", Inode("file", bytes=0)) == "seal machine-id"
    assert by("/etc/machine-id", Inode("file", bytes=33)) == ""
    assert by("/tmp/x", Inode("absent")) == "seal temporary"
    assert by("/tmp/x", Inode("file", bytes=0)) == ""
    assert by("/etc/ssh/ssh_host_rsa_key", Inode("absent")) == ""


@pytest.fixture(scope="module")
def guest(small_ova: Path) -> Guest:
    return guest_of(small_ova)


@pytest.fixture
def job(guest: Guest, tmp_path: Path) -> Iterator[Scratch]:
    tmp_path.parent.chmod(0o755)
    with guest.job(tmp_path) as scratch:
        yield scratch


def test_an_image_is_cleared_behind_its_packages_scripts(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    script = """
        echo 0123456789abcdef0123456789abcdef >/etc/machine-id
        mkdir /tmp/left; echo left >/tmp/left/behind
        echo told >/var/log/zip.log"""
    deb = build_deb(tmp_path, "zip", "99", {"/usr/bin/zip": b"new"}, postinst=script)
    seal: tuple[Seal, ...] = ("logs", "machine-id", "temporary")
    changed = guest.apply(job, deb, seal=seal)
    result = Result(guest, changed)
    try:
        assert result.content("/etc/machine-id") == b""
        assert result.content("/usr/bin/zip") == b"new"
        kinds = {path: inode.mode >> 12 for path, inode in result.paths.items()}
        below = {path for path, kind in kinds.items() if kind != 4 and path.startswith("/var/log/")}
        assert not below
        assert "/tmp/left" not in result.paths
    finally:
        result.close()
    told = {one.path: one.by for one in changed.explained}
    assert any(by == "seal logs" for by in told.values())
