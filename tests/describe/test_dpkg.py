"""dpkg's database: every state, the limits, and the tools of dpkg and apt as judges."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.describe import dpkg
from regild.describe.reader import describe_guest
from regild.model import deb822
from regild.model.content import Content
from tests.describe.guests import FolderTree, debian, guest, paragraph

STATUS = Path("/var/lib/dpkg/status")
needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-query") is None or not STATUS.exists(), reason="dpkg is not in use here"
)


def described(status: str, **files: str) -> Content:
    return describe_guest(debian(files, status))


def damage(content: Content) -> str:
    """The one unknown of a content that lists the database's path."""
    (found,) = content.unknowns
    assert found.where.startswith("/var/lib/dpkg/status")
    assert content.planning.type == ""
    return f"{found.where} {found.why}"


def test_a_package_has_everything_that_the_database_says() -> None:
    status = paragraph("dpkg") + paragraph(
        "libssl3", "3.0.14-1~deb12u2", Source="openssl", Multi_Arch="same"
    )
    marks = {
        "/var/lib/apt/extended_states": "Package: libssl3\nArchitecture: amd64\nAuto-Installed: 1\n"
    }
    package = described(status, **marks).packages[1]
    assert (package.source, package.source_version) == ("openssl", "3.0.14-1~deb12u2")
    assert package.purl == "pkg:deb/debian/libssl3@3.0.14-1~deb12u2?arch=amd64&distro=debian-12"
    assert (package.type, package.arch, package.state) == ("deb", "amd64", "installed")
    assert package.auto
    assert not package.hold
    assert package.where == "/var/lib/dpkg/status"


def test_a_source_may_have_a_version_of_its_own() -> None:
    status = paragraph("perl-base", "5.36.0-7+b1", Source="perl (5.36.0-7)")
    (package,) = described(status).packages
    assert (package.source, package.source_version) == ("perl", "5.36.0-7")


@pytest.mark.parametrize(
    ("status", "state", "hold"),
    [
        ("install ok installed", "installed", False),
        ("hold ok installed", "installed", True),
        ("install ok half-configured", "half-configured", False),
        ("install ok unpacked", "unpacked", False),
        ("install ok triggers-pending", "triggers-pending", False),
        ("install reinstreq half-installed", "reinstreq", False),
        ("deinstall ok installed", "installed", False),
    ],
)
def test_every_state_in_which_files_are_there_is_listed(
    status: str, state: str, hold: bool
) -> None:
    content = described(paragraph("dpkg", Status=status))
    (package,) = content.packages
    assert (package.state, package.hold) == (state, hold)
    assert f"Status: {status}" in content.planning.status


@pytest.mark.parametrize("state", ["config-files", "not-installed"])
def test_what_is_removed_is_not_listed_but_a_hold_on_it_is_planned_with(state: str) -> None:
    status = paragraph("dpkg") + paragraph("gone", Status=f"deinstall ok {state}")
    content = described(status + paragraph("never", Status=f"hold ok {state}"))
    assert [one.name for one in content.packages] == ["dpkg"]
    assert "Package: gone" not in content.planning.status
    assert "Package: never" in content.planning.status


def test_the_planning_state_is_canonical() -> None:
    one = paragraph("b", Depends="c (>= 1),\n d |\n  e", X_Other="1") + paragraph("a")
    two = paragraph("a") + paragraph("b", depends="c (>= 1), d | e", Maintainer="M")
    assert described(one).planning == described(two).planning
    assert described(one).planning.status == (
        "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n\n"
        "Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n"
        "Depends: c (>= 1), d | e\n"
    )


def test_the_native_architecture_comes_first() -> None:
    status = paragraph("dpkg", arch="arm64") + paragraph("libc6", arch="amd64")
    content = described(status, **{"/var/lib/dpkg/arch": "amd64\narm64\nriscv64\n"})
    assert content.planning.architectures == ("arm64", "amd64", "riscv64")
    assert content.platform.arch == "arm64"


def test_without_dpkg_the_most_frequent_architecture_is_the_native_one() -> None:
    status = paragraph("a", arch="all") + paragraph("b", arch="i386") + paragraph("c", arch="i386")
    assert described(status + paragraph("d", arch="amd64")).platform.arch == "i386"


def test_marks_of_packages_for_all_architectures_are_found_under_the_native_one() -> None:
    marks = "".join(
        f"Package: {name}\nArchitecture: {arch}\nAuto-Installed: {auto}\n\n"
        for name, arch, auto in (
            ("tzdata", "amd64", 1),
            ("dpkg", "amd64", 0),
            ("removed", "amd64", 1),
            ("dpkg", "i386", 1),
        )
    )
    status = paragraph("dpkg") + paragraph("tzdata", arch="all")
    content = described(status, **{"/var/lib/apt/extended_states": marks})
    assert content.planning.auto == ("tzdata:amd64",)
    assert [one.name for one in content.packages if one.auto] == ["tzdata"]


def test_the_records_of_an_interrupted_run_lie_over_the_database() -> None:
    updates = {
        "/var/lib/dpkg/updates/0000": paragraph("dpkg", "2"),
        "/var/lib/dpkg/updates/0001": paragraph("dpkg", "3", Status="install ok unpacked"),
        "/var/lib/dpkg/updates/tmp.i": "garbage",
    }
    (package,) = described(paragraph("dpkg", "1"), **updates).packages
    assert (package.version, package.state) == ("3", "unpacked")


def test_images_without_dpkg_list_their_packages_in_a_folder() -> None:
    bare = "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n"
    files = {
        "/var/lib/dpkg/status.d/base": bare,
        "/var/lib/dpkg/status.d/base.md5sums": "0123  ./etc/os-release\n",
    }
    content = described("", **files)
    assert [(one.name, one.state) for one in content.packages] == [("base-files", "installed")]
    assert content.planning.type == ""


# --- damage and limits


def test_an_empty_database_is_not_an_empty_answer() -> None:
    assert "no package" in damage(described(""))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("no colon here\n", "no colon"),
        (" continued\n", "continues no field"),
        ("Package: a\nPackage: b\n", "second time"),
        ("Package: a\n", "Status"),
        (paragraph("a", Status="install ok"), "Status"),
        (paragraph("a", Status="install ok molten"), "Status"),
        (paragraph("../a"), "Package"),
        (paragraph("a", "1.0 2"), "Version"),
        (paragraph("a", "$(reboot)"), "Version"),
        (paragraph("a", arch="x/y"), "Architecture"),
        (paragraph("a", Source="x <y>"), "Source"),
        (paragraph("a", Depends="b\x1b[2J"), "control"),
        (paragraph("dpkg", "2"), "second time"),
    ],
)
def test_damage_names_the_line_and_stops_planning(bad: str, why: str) -> None:
    content = described(paragraph("dpkg") + bad)
    assert why in damage(content)
    assert [one.name for one in content.packages] == ["dpkg"]


def test_text_that_is_not_utf8_is_damage() -> None:
    status = paragraph("dpkg").encode() + b"Package: a\nDepends: \xff\n"
    guest = debian({"/var/lib/dpkg/status": status})
    assert "UTF-8" in damage(describe_guest(guest))


def test_maintainers_may_write_their_names_in_any_encoding() -> None:
    status = paragraph("dpkg").replace("Version:", "Maintainer: J\xf6rg\nVersion:")
    guest = debian({"/var/lib/dpkg/status": status.encode("latin-1")})
    assert describe_guest(guest).unknowns == ()


def test_a_line_over_the_limit_is_refused() -> None:
    status = paragraph("dpkg") + paragraph("a", Depends="b, " * (deb822.LINE_LIMIT // 3))
    assert "line" in damage(described(status))


def test_a_database_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpkg, "STATUS_LIMIT", 1000)
    assert "more than 1000" in damage(described(paragraph("dpkg") * 20))


def test_a_million_paragraphs_are_refused_in_bounded_memory() -> None:
    status = b"Package: a\n\n" * 1_000_000
    tracemalloc.start()
    content = describe_guest(debian({"/var/lib/dpkg/status": status}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert damage(content)
    assert peak < 64 << 20


def test_too_many_paragraphs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deb822, "PARAGRAPH_LIMIT", 5)
    status = "".join(paragraph(f"package-{number}") for number in range(10))
    assert "more than 5 paragraphs" in damage(described(status))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_never_give_an_empty_answer(data: st.DataObject) -> None:
    status = bytearray((paragraph("dpkg") + paragraph("a", Depends="b")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        status[data.draw(st.integers(0, len(status) - 1))] = data.draw(st.integers(0, 255))
    content = describe_guest(debian({"/var/lib/dpkg/status": bytes(status)}))
    assert content.unknowns or len(content.packages) == 2 or b"Status" not in status


# --- the judges


@needs_dpkg
def test_the_host_is_described_as_dpkg_query_does() -> None:
    form = "${db:Status-Status} ${Package} ${Version} ${Architecture} ${source:Package} "
    form += "${source:Version} ${db:Status-Want}\n"
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    theirs = sorted(line for line in said if line.split()[0] not in dpkg.ABSENT_STATES)
    content = describe_guest(guest(FolderTree(Path("/"))), languages=False)
    ours = sorted(
        f"{one.state} {one.name} {one.version} {one.arch} {one.source} {one.source_version} "
        + ("hold" if one.hold else "install")
        for one in content.packages
        if one.type == "deb"
    )
    assert ours == theirs
    native = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert content.platform.arch == native


@needs_dpkg
@pytest.mark.skipif(shutil.which("apt-mark") is None, reason="apt is not installed here")
def test_the_marks_are_those_that_apt_mark_shows() -> None:
    said = subprocess.run(["apt-mark", "showauto"], capture_output=True, text=True, check=True)
    content = describe_guest(guest(FolderTree(Path("/"))), languages=False)
    ours = {one.name for one in content.packages if one.auto and one.arch == "all"}
    native = {
        one.name for one in content.packages if one.auto and one.arch == content.platform.arch
    }
    theirs = {name for name in said.stdout.split() if ":" not in name}
    assert ours | native == theirs
