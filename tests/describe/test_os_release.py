"""os-release as its standard describes it, and Debian's point release."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe.os_release import parse
from regild.describe.reader import describe_guest
from tests.describe.guests import OS_RELEASE, MemoryTree, debian, guest, paragraph


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ('A="with space"', "with space"),
        ("A='single $x'", "single $x"),
        (r'A="\"quoted\" \$HOME \`x\` \\ \n"', '"quoted" $HOME `x` \\ \\n'),
        ('A="no end', "no end"),
        ('A="x" # trailing', "x"),
        ("A=", ""),
        (r"A=back\ slash", "back\\"),
        ("A=bell\x07", "bell"),
    ],
)
def test_values_are_quoted_as_in_a_shell(line: str, value: str) -> None:
    assert parse(line.encode(), "x")["A"] == value


def test_lines_that_are_no_assignments_are_passed_over() -> None:
    assert parse(b"# ID=comment\n\nID debian\nid=lower\n  ID=debian  \n", "x") == {"ID": "debian"}


def test_the_last_assignment_counts() -> None:
    assert parse(b"ID=a\nID=b\n", "x") == {"ID": "b"}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    for value in parse(f'A="{text}"\n{text}'.encode(), "x").values():
        assert value.isprintable() or value == ""


def test_the_file_under_usr_counts_where_etc_has_none() -> None:
    files = {"/usr/lib/os-release": OS_RELEASE, "/var/lib/dpkg/status": paragraph("dpkg")}
    content = describe_guest(guest(MemoryTree(files)))
    assert (content.platform.id, content.platform.version) == ("debian", "12")


@pytest.mark.parametrize(
    ("stated", "version"),
    [("12.5\n", "12.5"), ("bookworm/sid\n", "12"), ("11.9\n", "12"), ("12.5; rm\n", "12")],
)
def test_debians_point_release_counts_where_it_fits(stated: str, version: str) -> None:
    content = describe_guest(debian({"/etc/debian_version": stated}))
    assert content.platform.version == version
    assert content.packages[0].purl.endswith("&distro=debian-12")


def test_an_id_that_is_no_word_is_unknown() -> None:
    content = describe_guest(debian({"/etc/os-release": 'ID="../x"\n'}))
    assert content.unknowns[0].where == "/etc/os-release"


def test_bytes_that_are_no_text_are_unknown() -> None:
    content = describe_guest(debian({"/etc/os-release": b"ID=\xff\n"}))
    assert content.unknowns[0].why == "it is not UTF-8"


@pytest.mark.skipif(not Path("/etc/os-release").exists(), reason="this machine has no os-release")
def test_the_machines_own_file_is_read_as_python_reads_it() -> None:
    theirs = platform.freedesktop_os_release()
    ours = parse(Path("/etc/os-release").read_bytes(), "x")
    assert ours == {name: value for name, value in theirs.items() if name in ours}
    assert ours["ID"] == theirs["ID"]
