"""Packages made for the purpose, applied to a real Debian guest inside its appliance."""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import (
    GuestCommandFailed,
    GuestCommandHung,
    GuestFull,
    LinkSplit,
    RecordRefused,
)
from regild.host.scratch import Scratch
from tests.change.guests import Guest, Result, build_deb, guest_of

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def guest(small_ova: Path) -> Guest:
    return guest_of(small_ova)


@pytest.fixture
def job(guest: Guest, tmp_path: Path) -> Iterator[Scratch]:
    tmp_path.parent.chmod(0o755)
    with guest.job(tmp_path) as scratch:
        yield scratch


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_pin_takes_back_to_an_older_version_goes_back(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    older = build_deb(tmp_path, "zip", "0.1", {"/usr/bin/zip": b"old"})
    result = Result(guest, guest.apply(job, older, was="3.0-13"))
    assert result.content("/usr/bin/zip") == b"old"


def test_everything_a_package_can_hold_arrives_exactly(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    before = digest(guest.disk.path)
    odd = '/usr/share/zip/odd \' "name" \\ \u00e4'
    deb = build_deb(
        tmp_path,
        "zip",
        "99",
        {"/usr/bin/zip": b"new", odd: b"odd", "/usr/share/zip/big": b"x" * 3_000_000},
        links={"/usr/share/zip/twin": "/usr/bin/zip"},
        postinst="""
            chown 33:50 /usr/share/zip/big
            chmod 4755 /usr/share/zip/big
            mkfifo /usr/share/zip/pipe
            ln -s ../../secret /usr/share/zip/link
            mkdir -p /var/lib/zip/deep && echo state > /var/lib/zip/deep/file
            touch -d '1999-01-01 00:00:00.123456789 UTC' /usr/share/zip/twin
            rm -r /usr/share/doc/zip 2>/dev/null || true
            truncate -s 1M /var/lib/zip/holes
            echo new-identity > /etc/machine-id
            echo host-key > /etc/ssh/ssh_host_test_key || true
            # /var/lib/zip is named here, so the gate knows whose it is""",
    )
    changed = guest.apply(job, deb)
    result = Result(guest, changed)
    assert result.content("/usr/bin/zip") == b"new"
    assert result.content(odd) == b"odd"
    assert result.inode("/usr/share/zip/twin").number == result.inode("/usr/bin/zip").number
    assert result.inode("/usr/bin/zip").links == 2
    assert result.inode("/usr/bin/zip").mtime_ns == 915_148_800_123_456_789
    big = result.inode("/usr/share/zip/big")
    assert (stat.S_IMODE(big.mode), big.uid, big.size) == (0o4755, 33, 3_000_000)
    assert stat.S_ISFIFO(result.inode("/usr/share/zip/pipe").mode)
    assert result.volume.read_target(result.inode("/usr/share/zip/link")) == "../../secret"
    assert result.content("/var/lib/zip/deep/file") == b"state\n"
    assert result.inode("/var/lib/zip/holes").size == 1 << 20
    assert "/etc/ssh/ssh_host_test_key" not in result.paths
    assert "/usr/sbin/policy-rc.d" not in result.paths
    assert b"new-identity" not in result.content("/etc/machine-id")
    lists = [path for path in result.paths if path.startswith("/var/lib/apt/lists/")]
    assert not any(path.endswith(("Packages", "Release")) for path in lists)
    assert all(row.by for row in changed.explained)
    result.close()
    assert digest(guest.disk.path) == before


def test_a_script_that_fails_ends_the_change_with_its_own_words(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    deb = build_deb(tmp_path, "zip", "99", postinst="echo the reason >&2; exit 3")
    with pytest.raises(GuestCommandFailed, match="error processing package zip"):
        guest.apply(job, deb)
    assert not (job.guest / "overlay").exists()
    assert "the reason" in (job.guest / "guest.log").read_text()


def test_a_script_that_hangs_is_ended_with_all_it_started(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    deb = build_deb(
        tmp_path, "zip", "99", postinst="trap '' TERM HUP INT\nsleep 98765 &\nsleep 98765"
    )
    begun = time.monotonic()
    with pytest.raises(GuestCommandHung, match="seconds had passed"):
        guest.apply(job, deb, timeout_seconds=15)
    assert time.monotonic() - begun < 200
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"98765" in line for line in lines)


def test_a_path_that_nothing_accounts_for_stops_before_the_image(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    place = "d=/usr/local; echo x > $d/sbin/unexplained"
    deb = build_deb(tmp_path, "zip", "99", postinst=place)
    with pytest.raises(RecordRefused, match="/usr/local/sbin/unexplained"):
        guest.apply(job, deb)
    assert not (job.guest / "overlay").exists()


def test_a_hard_link_that_a_script_splits_is_refused(
    guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    # perlbug and perlthanks are one file; the script writes through one of its names.
    deb = build_deb(tmp_path, "zip", "99", postinst="echo '# x' >> /usr/bin/perl5.36.0\n: /usr/bin")
    with pytest.raises(LinkSplit, match="came apart"):
        guest.apply(job, deb)


def test_a_change_that_does_not_fit_is_refused(guest: Guest, job: Scratch, tmp_path: Path) -> None:
    filling = "head -c 700M /dev/zero > /var/lib/zip-large"
    deb = build_deb(tmp_path, "zip", "99", postinst=filling)
    with pytest.raises(GuestFull, match=r"does not fit|MiB more are needed|too small"):
        guest.apply(job, deb)


def test_guest_code_sees_nothing_of_the_host(guest: Guest, job: Scratch, tmp_path: Path) -> None:
    (tmp_path / "host-secret").write_text("x")
    probes = f"""
        mkdir -p /var/lib/zip; exec > /var/lib/zip/report
        [ -e {tmp_path}/host-secret ] && echo host-files
        ls /proc | grep -c '^[0-9]' | awk '$1 > 12 {{ print "processes" }}'
        (echo 1 > /proc/sys/kernel/panic) 2>/dev/null && echo sysctl
        (mknod /var/lib/zip/dev b 8 0) 2>/dev/null && echo device
        (mount -t tmpfs none /mnt) 2>/dev/null && echo mount
        grep -v -e '^Inter' -e '^ face' -e ' lo:' /proc/net/dev && echo network
        [ -e /sys/kernel ] && echo sys
        (unshare -U true) 2>/dev/null && echo userns
        echo done"""
    deb = build_deb(tmp_path, "zip", "99", postinst=probes)
    result = Result(guest, guest.apply(job, deb))
    said = result.content("/var/lib/zip/report").split()
    result.close()
    assert [word for word in said if word not in (b"userns",)] == [b"done"]
