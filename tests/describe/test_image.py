"""A real appliance described through the image room, with dpkg as the judge; and the reduced
status, with apt's solver as the judge."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regild.describe import dpkg
from regild.describe.reader import describe_guest
from regild.image.disk import open_disk
from regild.image.tree import Guest, open_guest
from regild.model import deb822
from regild.ovf.archive import open_appliance
from tests.describe.guests import FolderTree, debian, guest

STATUS = Path("/var/lib/dpkg/status")


@contextmanager
def opened(ova: Path) -> Iterator[Guest]:
    with open_appliance(ova) as appliance:
        (member,) = [one for one in appliance.members.values() if one.name.endswith(".vmdk")]
        with open_disk(member.path, member.offset, member.bytes) as disk, open_guest(disk) as found:
            yield found


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg is not installed here")
def test_a_real_appliance_is_described_as_dpkg_query_does(small_ova: Path, tmp_path: Path) -> None:
    with opened(small_ova) as found:
        content = describe_guest(found)
        (tmp_path / "status").write_bytes(found.tree.read(dpkg.STATUS, dpkg.STATUS_LIMIT))
    (tmp_path / "info").mkdir()
    (tmp_path / "updates").mkdir()
    form = "${Package} ${Version} ${Architecture} ${source:Package} ${db:Status-Status}\n"
    said = subprocess.run(
        ["dpkg-query", f"--admindir={tmp_path}", "-W", "-f", form],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    theirs = sorted(line for line in said if line.split()[-1] not in dpkg.ABSENT_STATES)
    packages = [one for one in content.packages if one.type == "deb"]
    assert theirs == sorted(
        f"{one.name} {one.version} {one.arch} {one.source} {one.state}" for one in packages
    )
    assert content.unknowns == ()
    assert (content.platform.id, content.platform.codename) == ("debian", "bookworm")
    assert content.sources
    assert content.planning.keyrings
    assert {one.volume for one in content.witnesses} == {content.volumes[0].volume}


def aged(status: bytes) -> bytes:
    """A status with holds, removed packages and interrupted ones strewn in."""
    paragraphs = status.split(b"\n\n")
    for index, text in enumerate(paragraphs):
        if index % 17 == 3:
            text = text.replace(b"install ok installed", b"hold ok installed")
        elif index % 41 == 7:
            text = text.replace(b"install ok installed", b"install ok unpacked")
        paragraphs[index] = text
    removed = b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all"
    return b"\n\n".join([removed, *paragraphs])


def offered(status: bytes) -> str:
    """An index that offers newer versions of every third package of a status."""
    wanted = [*dpkg.FIELDS, "Section", "Maintainer", "Description"]
    lines: list[str] = []
    for number, (_, fields) in enumerate(deb822.read_paragraphs(status, wanted, "status")):
        if "Version" not in fields:
            continue
        newer = fields["Version"] + ("+regild1" if number % 3 == 0 else "")
        stated = {**fields, "Version": newer, "Filename": f"{number}.deb", "Size": "1"}
        stated["SHA256"] = f"{number:064x}"
        del stated["Status"]
        lines += [f"{name}: {value}" for name, value in stated.items()] + [""]
    return "\n".join(lines) + "\n"


@pytest.mark.skipif(
    shutil.which("apt-get") is None or not STATUS.exists(), reason="apt is not in use here"
)
def test_apt_solves_the_reduced_status_as_the_full_one(tmp_path: Path) -> None:
    full = aged(STATUS.read_bytes())
    content = describe_guest(debian({dpkg.STATUS: full}))
    assert len(content.planning.status) < len(full) / 2
    (tmp_path / "full").write_bytes(full)
    (tmp_path / "reduced").write_text(content.planning.status)
    for name in ("lists/partial", "archives/partial", "parts", "repository"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repository" / "Packages").write_text(offered(STATUS.read_bytes()))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")

    def apt(status: str, *command: str) -> str:
        options = {
            "Dir::State": tmp_path,
            "Dir::State::status": tmp_path / status,
            "Dir::Cache": tmp_path,
            "Dir::Etc::sourcelist": tmp_path / "sources.list",
            "Dir::Etc::sourceparts": tmp_path / "parts",
            "Dir::Etc::preferencesparts": tmp_path / "parts",
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "1",
        }
        line = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        ended = subprocess.run(["apt-get", *line, *command], capture_output=True, text=True)
        return ended.stdout + ended.stderr

    apt("full", "update")
    for command in (["upgrade"], ["dist-upgrade"], ["-f", "install"], ["autoremove"]):
        said = apt("full", "-s", *command)
        assert apt("reduced", "-s", *command) == said
    assert "\nInst " in apt("full", "-s", "dist-upgrade")


def test_the_hosts_own_tree_is_described_the_same_twice() -> None:
    """Without the walk: what else runs here writes below /home and /root meanwhile."""
    host = guest(FolderTree(Path("/")))
    assert describe_guest(host, languages=False) == describe_guest(host, languages=False)
