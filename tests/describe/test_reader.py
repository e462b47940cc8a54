"""A whole guest described: merged, witnessed, and never silently empty."""

from __future__ import annotations

import pytest

from regild.describe.planned import require_planning
from regild.describe.reader import READERS, describe_guest
from regild.errors import NoPackageDatabase, NothingRead, Truncated
from regild.model.content import Content, Unknown
from regild.model.digest import sha256_of
from regild.model.json import from_json, to_json
from tests.describe.guests import OS_RELEASE, MemoryTree, debian, guest, paragraph


class Broken(MemoryTree):
    """A tree whose disk ends inside of one file."""

    def __init__(self, files: dict[str, bytes | str], path: str) -> None:
        super().__init__(files)
        self.path = path

    def read(self, path: str, limit: int) -> bytes:
        if path == self.path:
            raise Truncated(where="disk.vmdk", why="it ends at byte 4096")
        return super().read(path, limit)


def test_a_debian_guest_is_described() -> None:
    content = describe_guest(debian())
    assert [(one.name, one.version) for one in content.packages] == [
        ("dpkg", "1.21.22"),
        ("openssl", "3.0.14-1~deb12u2"),
    ]
    assert content.platform.id == "debian"
    assert content.platform.version == "12.5"
    assert content.platform.arch == "amd64"
    assert content.unknowns == ()
    require_planning(content)


def test_the_same_files_give_the_same_content() -> None:
    assert describe_guest(debian()) == describe_guest(debian())
    assert describe_guest(debian()).state == describe_guest(debian()).state


def test_a_content_survives_json() -> None:
    files = {
        "/etc/apt/trusted.gpg": b"\x99\x00\x01\xff",
        "/etc/apt/sources.list": "deb http://m/d s m",
    }
    content = describe_guest(debian(files))
    assert content.planning.keyrings
    assert from_json(Content, to_json(content)) == content


def test_everything_that_was_read_for_planning_has_a_witness() -> None:
    content = describe_guest(debian())
    by_path = {one.path: one for one in content.witnesses}
    assert by_path["/etc/os-release"].digest == sha256_of(OS_RELEASE.encode())
    assert by_path["/etc/os-release"].bytes == len(OS_RELEASE)
    assert by_path["/etc/os-release"].volume == "UUID=0000"
    assert {
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/updates/",
        "/var/lib/apt/extended_states",
        "/etc/apt/sources.list.d/",
        "/etc/apt/preferences",
    } <= set(by_path)
    assert list(by_path) == sorted(by_path)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/apt/preferences.d/pin",
        "/etc/apt/sources.list.d/more.sources",
        "/var/lib/apt/extended_states",
        "/var/lib/dpkg/updates/0001",
        "/boot/vmlinuz-6.1.0-1",
        "/opt/app/run",
    ],
)
def test_a_file_that_appears_changes_a_witness(path: str) -> None:
    before = set(describe_guest(debian()).witnesses)
    assert before - set(describe_guest(debian({path: "Package: a\n"})).witnesses)


def test_a_guest_with_nothing_in_it_is_an_error() -> None:
    with pytest.raises(NothingRead):
        describe_guest(guest(MemoryTree({"/etc/fstab": ""})))


def test_a_guest_without_a_package_database_has_an_unknown() -> None:
    content = describe_guest(guest(MemoryTree({"/etc/os-release": OS_RELEASE})))
    assert [one.where for one in content.unknowns] == ["/var/lib/dpkg/status"]
    with pytest.raises(NoPackageDatabase):
        require_planning(content)


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/var/lib/rpm/rpmdb.sqlite", "rpm"),
        ("/usr/lib/sysimage/rpm/Packages.db", "rpm"),
        ("/lib/apk/db/installed", "apk"),
        ("/var/lib/pacman/local/bash-5/desc", "pacman"),
    ],
)
def test_a_database_of_another_family_is_named(path: str, family: str) -> None:
    tree = MemoryTree({"/etc/os-release": "ID=other\n", path: "x"})
    content = describe_guest(guest(tree))
    assert len(content.unknowns) == 1
    assert family in content.unknowns[0].where + content.unknowns[0].why
    assert path.startswith(content.unknowns[0].where.split(",")[0])


def test_an_empty_rpm_folder_beside_dpkg_is_no_database() -> None:
    assert describe_guest(debian({"/var/lib/rpm/.keep": ""})).unknowns == ()


def test_a_guest_that_does_not_say_what_it_is_has_an_unknown() -> None:
    tree = MemoryTree({"/var/lib/dpkg/status": paragraph("dpkg")})
    content = describe_guest(guest(tree))
    assert [one.where for one in content.unknowns] == ["/etc/os-release"]
    assert content.packages


def test_the_unknowns_of_the_disk_are_kept() -> None:
    lost = Unknown(where="/var", why="its volume is not on this disk")
    tree = MemoryTree({"/etc/os-release": OS_RELEASE})
    assert lost in describe_guest(guest(tree, (lost,))).unknowns


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/dpkg/status",
        "/etc/os-release",
        "/var/lib/apt/extended_states",
        "/etc/apt/sources.list",
        "/etc/apt/preferences",
        "/etc/apt/apt.conf",
    ],
)
def test_a_file_that_cannot_be_read_is_an_unknown_that_names_it(path: str) -> None:
    files: dict[str, bytes | str] = {
        "/etc/os-release": OS_RELEASE,
        "/var/lib/dpkg/status": paragraph("dpkg"),
        path: "",
    }
    content = describe_guest(guest(Broken(files, path)))
    assert any(path in one.where for one in content.unknowns)
    assert any("byte 4096" in one.why for one in content.unknowns)


def test_readers_are_one_literal_table() -> None:
    assert len(set(READERS)) == len(READERS)
