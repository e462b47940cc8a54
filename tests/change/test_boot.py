"""A real guest, booted under emulation to acquire changes: the same files as without booting it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.change.boot import _Told
from regild.change.script import GuestCommand
from regild.errors import ChangeError, GuestCommandFailed, GuestCommandHung, LinkSplit
from regild.host.run import TIMED_OUT
from regild.model.progress import Silent
from tests.change.guests import Guest, Result, build_deb, guest_of
from tests.change.test_apply import digest

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly

POSTINST = """
    chown 33:50 /usr/share/rsync/big
    chmod 4755 /usr/share/rsync/big
    mkfifo /usr/share/rsync/pipe
    ln -s ../../secret /usr/share/rsync/link
    mkdir -p /var/lib/rsync/deep && echo state > /var/lib/rsync/deep/file
    touch -d '1999-01-01 00:00:00.123456789 UTC' /usr/share/rsync/twin
    rm -rf /usr/share/doc/rsync/examples
    truncate -s 1M /var/lib/rsync/holes
    setcap cap_net_raw+ep /usr/bin/rsync 2>/dev/null || true
    echo new-identity > /etc/machine-id 2>/dev/null || true
    echo host-key > /etc/ssh/ssh_host_test_key
    invoke-rc.d rsync start
    # /var/lib/rsync is named here, so the gate knows whose it is
"""


@pytest.fixture(scope="module")
def guest(demo_ova: Path) -> Guest:
    return guest_of(demo_ova)


def outcome(
    guest: Guest, folder: Path, script: str, booted: bool, seconds: float = 600
) -> dict[str, object]:
    """Apply one package and tell of every changed path what it became."""
    folder.mkdir()
    deb = build_deb(
        folder,
        "rsync",
        "99",
        {"/usr/bin/rsync": b"new", "/usr/share/rsync/big": b"x" * 3_000_000},
        links={"/usr/share/rsync/twin": "/usr/bin/rsync"},
        postinst=script,
    )
    with guest.job(folder) as job:
        changed = guest.apply(job, deb, timeout_seconds=seconds, booted=booted)
        assert changed.carrier == ("boot" if booted else "record")
        result = Result(guest, changed)
        told = {row.path: essence(result, row.path) for row in changed.explained}
        result.close()
    return told


def essence(result: Result, path: str) -> object:
    """What a path is in the result, but for when it was made."""
    inode = result.paths.get(path)
    if inode is None:
        return None
    content = result.content(path) if stat.S_ISREG(inode.mode) else b""
    attributes = result.volume.read_attributes(inode)
    return inode.mode, inode.uid, inode.gid, inode.size, inode.links, content, attributes


TIMES = ("/var/log/", "/var/cache/", "/var/lib/dpkg/", "/var/lib/apt/")
"""Where times stand inside of files."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_booted_guest_gives_the_same_files(
    guest: Guest, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    before = digest(guest.disk.path)
    boot = outcome(guest, tmp_path / "boot", POSTINST, booted=True)
    record = outcome(guest, tmp_path / "record", POSTINST, booted=False)
    assert digest(guest.disk.path) == before
    assert not [path for path in boot if "ssh_host" in path or path == "/etc/machine-id"]
    assert not [path for path in boot if path.startswith("/var/log/journal")]
    assert "/usr/sbin/policy-rc.d" not in boot
    plain = [one for one in (*boot, *record) if not one.startswith(TIMES)]
    different = [one for one in plain if boot.get(one) != record.get(one)]
    folders = [one for one in different if one in boot and one not in record]
    assert different == folders, "the booted guest gave other files"
    assert all(stat.S_ISDIR(boot[one][0]) for one in folders)  # type: ignore[index]
    assert machines_gone()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("script", "kind", "words", "seconds"),
    [
        pytest.param(script, kind, words, seconds, marks=mark, id=name)
        for name, mark, script, kind, words, seconds in (
            ("fails", NIGHTLY, "echo no-way; exit 5", GuestCommandFailed, "rsync", 400),
            ("goes", NIGHTLY, "poweroff -f", GuestCommandFailed, "ended before", 400),
            ("hangs", SLOW, "sleep 10000", GuestCommandHung, "seconds had passed", 60),
        )
    ],
)
def test_a_guest_that_does_not_follow_is_told_in_one_sentence(
    guest: Guest,
    tmp_path: Path,
    script: str,
    kind: type[ChangeError],
    words: str,
    seconds: float,
    machines_gone: Callable[[], bool],
) -> None:
    with pytest.raises(kind, match=words) as caught:
        outcome(guest, tmp_path / "job", script, booted=True, seconds=seconds)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "job/job/guest/console.log").stat().st_size > 1000
    assert machines_gone()


SPLITTING = """
    echo '# more' >> /usr/bin/perl5.36.0
    # /usr/bin/perl is named here, so the gate knows whose the change is
"""
"""perl and perl5.36.0 are one file: whoever writes through one of the names means both."""


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_what_comes_apart_outside_of_the_image_is_done_by_the_booted_guest(
    guest: Guest, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    with pytest.raises(LinkSplit) as refused:
        outcome(guest, tmp_path / "record", SPLITTING, booted=False)
    assert "--carrier boot" in refused.value.hint
    boot = outcome(guest, tmp_path / "boot", SPLITTING, booted=True)
    both = boot["/usr/bin/perl"], boot["/usr/bin/perl5.36.0"]
    assert both[0] == both[1]
    assert both[0][5].endswith(b"# more\n")  # type: ignore[index]  # its content
    assert machines_gone()


class Log:
    """Takes what is written and keeps nothing."""

    def write(self, content: bytes) -> int:
        return len(content)


COMMANDS = (GuestCommand(("a",), "first"), GuestCommand(("b",), "second", quiet=True))
WHOLE = (
    b"\x01regild begin 0\nwords\n\x01regild end 0 0\n"
    b"\x01regild begin 1\n\n\x01regild end 1 0\n\x01regild done\n"
)


def told(content: bytes) -> _Told:
    found = _Told(COMMANDS, Silent(), Log())  # type: ignore[arg-type]
    found.take(content)
    return found


def test_a_whole_report_is_believed_as_far_as_it_goes() -> None:
    assert told(WHOLE).check(0, 60, "") == ["words\n", "\n"]


@pytest.mark.parametrize(
    ("content", "code", "kind", "words"),
    [
        (b"", 0, GuestCommandFailed, "the guest's boot failed.*panic"),
        (WHOLE.replace(b"done", b"dome"), 0, GuestCommandFailed, "ended before"),
        (WHOLE, TIMED_OUT, GuestCommandHung, "60 seconds"),
        (WHOLE.replace(b"end 0 0", b"end 0 9"), 0, GuestCommandFailed, "first.*ended with 9"),
        (WHOLE.replace(b"1\n\n", b"1\nfault\n"), 0, ChangeError, "fault"),
        (WHOLE[:20], TIMED_OUT, GuestCommandHung, "first"),
        (b"\n\x01regild begin 999\n", 0, GuestCommandFailed, "the guest's boot failed.*panic"),
    ],
)
def test_what_is_missing_in_a_report_is_a_failure(
    content: bytes, code: int, kind: type[ChangeError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        told(content).check(code, 60, "kernel panic")
