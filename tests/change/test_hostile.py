"""Package scripts and images that mean harm, on a real guest: typed errors, nothing left, nothing
followed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import (
    ChangeError,
    CommandFailed,
    GuestCommandFailed,
    GuestFull,
    Malformed,
    RecordRefused,
    RegildError,
)
from regild.host.scratch import Scratch, free_bytes
from tests.change.guests import Guest, Result, build_deb, guest_of
from tests.host.apart import all_gone

pytestmark = pytest.mark.timeout(240)

SPOKEN = ": /var/lib/zip\nmkdir -p /var/lib/zip; cd /var/lib/zip\n"
"""The gate lets a script change what it names."""


@pytest.fixture(scope="module")
def guest(small_ova: Path) -> Guest:
    return guest_of(small_ova)


@pytest.fixture
def job(guest: Guest, tmp_path: Path) -> Iterator[Scratch]:
    with guest.job(tmp_path) as scratch:
        yield scratch


def outcome(guest: Guest, job: Scratch, folder: Path, script: str, seconds: float = 90) -> Result:
    """Apply one package whose script does its worst."""
    deb = build_deb(folder, "zip", "99", postinst=script)
    return Result(guest, guest.apply(job, deb, timeout_seconds=seconds))


def test_what_a_script_may_do_it_may_do(guest: Guest, job: Scratch, tmp_path: Path) -> None:
    """Odd, but allowed: in one go, because a guest takes seconds."""
    script = (
        SPOKEN
        + """
        printf x > "$(printf 'new\\nline\\377')"
        printf x > twin; ln twin /var/tmp/twin; ln twin second
        date -s '2001-01-01' 2>/dev/null && echo clock > report
        (sleep 76543 &) >/dev/null 2>&1; (setsid sleep 76543 &)
        (while :; do echo more >> growing; done) >/dev/null 2>&1 &
        exec <&- ; read x && echo read >> report
        mknod white c 0 0 2>/dev/null && echo whiteout >> report
        [ -w /dev/null ] && echo x > /dev/null
        (echo x > /dev/new) 2>/dev/null && echo dev >> report
        head -c 400M /dev/zero > /dev/shm/x 2>/dev/null && echo fine > memory
        head -c 400M /dev/zero > /tmp/x 2>/dev/null && echo too-much >> report
        echo done >> report""".replace("76543", word := f"76543.{os.getpid()}")
    )
    result = outcome(guest, job, tmp_path, script)
    assert result.content("/var/lib/zip/report") == b"done\n"
    assert result.content("/var/lib/zip/memory") == b"fine\n"
    assert result.content("/var/lib/zip/new\nline\udcff") == b"x"
    assert result.inode("/var/lib/zip/twin").links == 2
    assert "/var/lib/zip/growing" in result.paths
    result.close()
    assert all_gone(word)


REFUSED = {
    "a database that is a link": (
        "ln -sf /etc/shadow /var/lib/dpkg/info/zip.preinst",
        RecordRefused,
        "zip.preinst",
    ),
    "a database that is a pipe": ("mkfifo /var/lib/dpkg/info/x.list", RegildError, ""),
    "a database folder that leads away": (
        "mv /var/lib/dpkg/info /var/lib/dpkg/i2; ln -s /usr/share /var/lib/dpkg/info",
        ChangeError,
        "",
    ),
    "accounts that lead away": (
        "mv /etc /e2; ln -s /usr/share /etc",
        ChangeError,
        "",
    ),
    "a hole larger than the guest": ("truncate -s 10G hole", GuestFull, "does not fit"),
    "overlay marks": (
        "command -v setfattr || exec perl -e 'exit 1'; setfattr -n user.overlay.opaque -v y .",
        ChangeError,
        "",
    ),
    "folders without end": (
        "d=$(printf 'd/%.0s' $(seq 1000)); for n in 1 2 3; do mkdir -p $d; cd -P $d; done || true",
        RegildError,
        "",
    ),
    "output without end": ("yes", GuestCommandFailed, "more than"),
    "processes without end": (
        "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 2; exit 3",
        ChangeError,
        "",
    ),
}


QUICK = ("a database that is a link", "a hole larger than the guest", "output without end")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in REFUSED]
)
def test_what_a_script_may_not_do_is_refused_in_one_sentence(
    name: str, guest: Guest, job: Scratch, tmp_path: Path
) -> None:
    script, kind, words = REFUSED[name]
    begun = time.monotonic()
    with pytest.raises(kind, match=words or None) as caught:
        outcome(guest, job, tmp_path, SPOKEN + script, seconds=30).close()
    assert time.monotonic() - begun < 120
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert not (job.guest / "overlay").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("i=0; while [ $i -lt 200 ]; do i=$((i+1)); touch $(seq -f $i-%g 1000); done", GuestFull),
        ("head -c 30G /dev/zero > big", GuestFull),
        ("exec 9> big; rm big; head -c 30G /dev/zero >&9", GuestFull),
        ("perl -e 'my @a; push @a, \"x\" x (1<<28) while 1'", GuestCommandFailed),
    ],
    ids=["200,000 files", "30 GB", "30 GB without a name", "memory"],
)
def test_what_takes_everything_is_stopped(
    script: str,
    kind: type[RegildError],
    guest: Guest,
    job: Scratch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a small machine: to fill a large one's memory takes minutes.
    monkeypatch.setattr("regild.change.apply.most_memory", lambda: 1 << 30)
    before = free_bytes(tmp_path)
    with pytest.raises(kind):
        outcome(guest, job, tmp_path, SPOKEN + script, seconds=90).close()
    assert before - free_bytes(tmp_path) < 10 << 30


def test_an_image_that_makes_its_reader_crash_is_called_malformed(
    guest: Guest, job: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise CommandFailed(where="the stage extract", why="signal 11 ended it", code=139)

    monkeypatch.setattr("regild.change.apply.run_stage", crash)
    with pytest.raises(Malformed, match="reading its filesystem crashed: signal 11 ended it"):
        outcome(guest, job, tmp_path, "")
