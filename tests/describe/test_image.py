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
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.tree import Guest
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


SYNTHETIC = {
    5: "Multi-Arch: foreign",
    7: "Provides: stand-in (= 1.5), other-name",
    11: "Protected: yes",
    13: "Enhances: apt",
    43: "Replaces: dpkg (<< 1)",
    19: "Important: yes",
    23: "Essential: yes",
    29: "Conffiles:\n /etc/a.conf 0123456789abcdef0123456789abcdef",
    31: "Config-Version: 1",
    37: "Suggests: stand-in (>= 1.0)",
}
"""Fields put into every so manyth paragraph that does not have them."""
SHIFTS = 8
STATES = {17: "hold ok installed", 41: "install ok unpacked", 53: "install ok half-configured"}
STATES |= {67: "install ok triggers-pending", 71: "install reinstreq half-installed"}


def aged(status: bytes, shift: int) -> bytes:
    """A status with fields, holds and interrupted packages strewn in, for each shift elsewhere."""
    paragraphs = [text for text in status.decode().split("\n\n") if text.strip()]
    for place, text in enumerate(paragraphs):
        index = place + shift
        for each, state in STATES.items():
            if index % each == 3:
                text = text.replace("install ok installed", state)
        for each, field in SYNTHETIC.items():
            if index % each == 2 and f"\n{field.partition(':')[0]}:" not in text:
                text = f"{text}\n{field}"
        paragraphs[place] = text.strip("\n")
    return "\n\n".join([*paragraphs, ""]).encode()


REMOVED = b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n\n"


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
    """The full one without packages that are removed: of equal choices apt takes one by the order
    of its hash table, so a name that nothing refers to can move its answer.

    What is installed here decides whether apt finds a way at all: asked until something moves.
    """
    assert any(_solves_both(tmp_path / str(shift), shift) for shift in range(SHIFTS))


def _solves_both(tmp_path: Path, shift: int) -> bool:
    """Whether apt moves anything, which it has to do alike with both."""
    installed = b"\n\n".join(
        one for one in STATUS.read_bytes().split(b"\n\n") if b" ok installed" in one
    )
    full = aged(installed, shift)
    states = marks(installed)
    content = describe_guest(
        debian({dpkg.STATUS: REMOVED + full, dpkg.EXTENDED_STATES: states.encode()})
    )
    assert len(content.planning.status) < len(full) / 2
    assert len(content.planning.auto) == states.count("Auto-Installed: 1") > 50
    tmp_path.mkdir()
    (tmp_path / "full").write_bytes(full)
    (tmp_path / "reduced").write_text(content.planning.status)
    for name in ("lists/partial", "archives/partial", "parts", "repository"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "repository" / "Packages").write_text(offered(installed))
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    apt(tmp_path, "full", "update")
    moved = False
    for command in (["upgrade"], ["dist-upgrade"], ["-f", "install"], ["autoremove"]):
        (tmp_path / "extended_states").write_text(states)
        said = apt(tmp_path, "full", "-s", *command)
        (tmp_path / "extended_states").write_text(
            "\n".join(map(stated, content.planning.auto)) + "\n"
        )
        assert apt(tmp_path, "reduced", "-s", *command) == said
        moved = moved or "\nInst " in said
    return moved


def marks(status: bytes) -> str:
    """apt's own states, with every third package of a status come for others."""
    paragraphs = deb822.read_paragraphs(status, ["Package", "Architecture"], "status")
    names = [(fields["Package"], fields["Architecture"]) for _, fields in paragraphs]
    native = next(arch for name, arch in names if name == "dpkg")
    told = (f"{name}:{native if arch == 'all' else arch}" for name, arch in names[::3])
    return "\n".join(map(stated, told)) + "\n"


def stated(package: str) -> str:
    """One paragraph of apt's states for `name:arch`."""
    name, _, arch = package.rpartition(":")
    return f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: 1\n"


def apt(folder: Path, status: str, *command: str) -> str:
    """What apt-get says of a status, with its own folders and the repository of the test."""
    options = {
        "Dir::State": folder,
        "Dir::State::status": folder / status,
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::Etc::preferencesparts": folder / "parts",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    line = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    ended = subprocess.run(["apt-get", *line, *command], capture_output=True, text=True)
    return ended.stdout + ended.stderr


def test_the_hosts_own_tree_is_described_the_same_twice() -> None:
    """Without the walk: what else runs here writes below /home and /root meanwhile."""
    host = guest(FolderTree(Path("/")))
    assert describe_guest(host, languages=False) == describe_guest(host, languages=False)
