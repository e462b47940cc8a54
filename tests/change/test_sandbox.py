"""What a package script sees and may do: each fact asked by a script in a real guest."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from regild.change.sandbox import CAPABILITIES, NAMELESS, guest_name
from regild.errors import GuestCommandFailed, GuestCommandHung
from tests.change.guests import Guest, Result, build_deb, guest_of

pytestmark = pytest.mark.timeout(240)

NUMBERS = {
    "ptrace": 101,
    "mount": 165,
    "unshare": 272,
    "keyctl": 250,
    "syslog": 103,
    "init_module": 175,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "open_by_handle_at": 304,
    "process_vm_readv": 310,
    "clock_settime": 227,
    "pivot_root": 155,
    "setns": 308,
    "fsopen": 430,
}
"""Numbers of calls on x86_64 (asm/unistd_64.h)."""

ASKED = """: /var/lib/zip
mkdir -p /var/lib/zip; cd /var/lib/zip; exec > facts
echo name=$(uname -n)
echo processes=$(ls -d /proc/[0-9]* | wc -l)
echo other=$(cat /proc/[0-9]*/cmdline | tr "\\\\0" " " | grep -c 'regild.hos[t]')
echo interfaces=$(sed -n '3,$s/:.*//p' /proc/net/dev | tr -d ' \\n')
echo devices=$(ls /dev | tr '\\n' ' ')
[ -h /dev/mouse ] || ln -s input/mice /dev/mouse && echo mouse=$(readlink /dev/mouse)
echo blocks=$(find /dev -type b | wc -l)
echo sys=$(ls /sys | wc -l)
echo run=$(ls /run | tr '\\n' ' ')
echo environment=$(env | grep -c REGILD_SECRET)
grep -E '^(CapEff|CapPrm|Seccomp|NoNewPrivs):' /proc/self/status | tr ':\\t' '= ' | tr -d ' '
for name in kernel/core_pattern kernel/hostname vm/swappiness user/max_user_namespaces; do
    (echo 1 > /proc/sys/$name) 2>/dev/null && echo written=$name
done
(echo 1 > /proc/sysrq-trigger) 2>/dev/null && echo written=sysrq
(echo -1000 > /proc/self/oom_score_adj) 2>/dev/null && echo written=oom
cat /proc/kcore 2>/dev/null | head -c 1 | wc -c | sed 's/^/kcore=/'
mknod node b 8 0 2>/dev/null && echo made=node
for name in HOST_FILES; do [ -e "$name" ] && echo seen=$name; done
cat > ask.pl <<'P'
    use strict;
    for (@ARGV) { my ($name, $number) = split /=/;
        $! = 0; my $got = syscall($number + 0, 0, 0, 0, 0, 0); print "call $name=", $!+0, "\\n"; }
    $! = 0; syscall(435, 0, 0); print "call clone3=", $!+0, "\\n";
    $! = 0; syscall(425, 1, 0); print "call io_uring_setup=", $!+0, "\\n";
    $! = 0; syscall(56, 0x10000000 | 17, 0, 0, 0, 0); print "call clone-user=", $!+0, "\\n";
    for my $family (1, 2, 16, 17, 38, 40, 45, 99) {
        my $ok = socket(my $raw, $family, 3, 0) || socket(my $stream, $family, 1, 0);
        print "socket $family=", $ok ? 0 : $!+0, "\\n"; }
    my $letter = "x"; $! = 0; ioctl(STDIN, 0x5412, $letter); print "call tiocsti=", $!+0, "\\n";
    $! = 0; ioctl(STDIN, 0x100005412, $letter); print "call tiocsti-high=", $!+0, "\\n";
P
perl ask.pl CALLS < /dev/null
"""


@pytest.fixture(scope="module")
def guest(small_ova: Path) -> Guest:
    return guest_of(small_ova)


@pytest.fixture(scope="module")
def facts(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a script saw, by name; it ran once."""
    folder = tmp_path_factory.mktemp("facts")
    marker = Path(tempfile.mkstemp(prefix="regild-host-", dir="/var/tmp")[1])
    calls = " ".join(f"{name}={number}" for name, number in NUMBERS.items())
    files = f"{folder} {marker} {Path(__file__)} {sys.prefix} {Path.home() / '.cache'}"
    script = ASKED.replace("HOST_FILES", files).replace("CALLS", calls)
    os.environ["REGILD_SECRET"] = "s3cret"
    try:
        deb = build_deb(folder, "zip", "99", postinst=script)
        with guest.job(folder) as scratch:
            result = Result(guest, guest.apply(scratch, deb))
            text = result.content("/var/lib/zip/facts").decode()
            result.close()
    finally:
        del os.environ["REGILD_SECRET"]
        marker.unlink()
    told: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        told.setdefault(name, []).append(value)
    return told


Facts = dict[str, list[str]]


def test_a_script_is_told_the_guests_own_name(guest: Guest, facts: Facts, tmp_path: Path) -> None:
    with guest.job(tmp_path) as scratch:
        result = Result(guest, guest.apply(scratch, build_deb(tmp_path, "zip", "98")))
        own = result.content("/etc/hostname").decode().strip()
        result.close()
    assert own not in ("", NAMELESS)
    assert facts["name"] == [own]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("golden\n", "golden"),
        ("# set by hand\n\n web-1.example \nother\n", "web-1.example"),
        ("x" * 64, "x" * 64),
        ("x" * 65, NAMELESS),
        ("--bind\n", NAMELESS),
        ("a b\n", NAMELESS),
        ("\n", NAMELESS),
    ],
)
def test_a_name_is_one_that_a_machine_can_have(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text(text)
    assert guest_name(tmp_path) == name


def test_no_link_leads_to_a_name_of_another(tmp_path: Path) -> None:
    assert guest_name(tmp_path) == NAMELESS
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/hostname").write_text("machine\n")
    guest = tmp_path / "guest"
    guest.mkdir()
    (guest / "etc").symlink_to(tmp_path / "outside")
    assert guest_name(guest) == NAMELESS
    (guest / "etc").unlink()
    (guest / "etc").mkdir()
    (guest / "etc/hostname").symlink_to(tmp_path / "outside/hostname")
    assert guest_name(guest) == NAMELESS
    (guest / "etc/hostname").unlink()
    os.mkfifo(guest / "etc/hostname")
    assert guest_name(guest) == NAMELESS


def test_a_script_sees_its_own_processes_only(facts: Facts) -> None:
    assert 2 <= int(facts["processes"][0]) < 20
    assert facts["other"] == ["0"]


def test_a_script_sees_no_file_of_the_machine(facts: Facts) -> None:
    assert "seen" not in facts
    assert facts["environment"] == ["0"]
    assert set(facts["run"][0].split()) == {
        "apt",
        "lock",
        "regild",
    }  # the plan's files, apt's lists


def test_a_script_has_no_network_but_its_own_loop(facts: Facts) -> None:
    assert facts["interfaces"] == ["lo"]


def test_a_script_sees_no_device_of_the_machine(facts: Facts) -> None:
    allowed = {"console", "core", "fd", "full", "null", "ptmx", "pts", "random", "shm"}
    allowed |= {"stderr", "stdin", "stdout", "tty", "urandom", "zero", "disk", "mouse"}
    assert set(facts["devices"][0].split()) <= allowed
    assert facts["blocks"] == ["0"]
    assert facts["sys"] == ["0"]
    assert "made" not in facts
    assert facts["kcore"] == ["0"]


def test_a_script_that_makes_the_link_of_a_mouse_finds_it_there(facts: Facts) -> None:
    assert facts["mouse"] == ["input/mice"]


def test_a_script_writes_nothing_of_the_kernel(facts: Facts) -> None:
    assert "written" not in facts


def test_a_script_has_the_named_capabilities_and_gets_no_others(facts: Facts) -> None:
    numbers = {
        "CAP_CHOWN": 0,
        "CAP_DAC_OVERRIDE": 1,
        "CAP_FOWNER": 3,
        "CAP_FSETID": 4,
        "CAP_KILL": 5,
        "CAP_SETGID": 6,
        "CAP_SETUID": 7,
        "CAP_SYS_CHROOT": 18,
        "CAP_SETFCAP": 31,
    }
    mask = sum(1 << numbers[name] for name in CAPABILITIES)
    assert [int(facts[name][0], 16) for name in ("CapEff", "CapPrm")] == [mask, mask]
    assert facts["NoNewPrivs"] == ["1"]  # no program gives more than that, whatever its file says
    assert facts["Seccomp"] == ["2"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls' numbers are x86_64's")
def test_a_script_reaches_no_call_that_the_filter_holds(facts: Facts) -> None:
    assert {name: facts[f"call {name}"] for name in NUMBERS} == {
        name: [str(errno.EPERM)] for name in NUMBERS
    }
    for name in ("clone3", "io_uring_setup"):
        assert facts[f"call {name}"] == [str(errno.ENOSYS)]
    for name in ("clone-user", "tiocsti", "tiocsti-high"):
        assert facts[f"call {name}"] == [str(errno.EPERM)]


def test_a_script_opens_ordinary_sockets_only(facts: Facts) -> None:
    for family in (1, 2, 16):
        assert facts[f"socket {family}"] == ["0"], family
    for family in (17, 38, 40, 45, 99):
        assert facts[f"socket {family}"] == [str(errno.EAFNOSUPPORT)], family


def test_many_programs_together_cannot_take_the_memory(
    guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one is small; what all hold together is what ends them."""
    monkeypatch.setattr("regild.change.bounds.MEMORY_SHARE", 0.02)
    script = """: /var/lib/zip
    for n in 1 2 3 4 5 6 7 8; do perl -e 'my $x = "y" x (100 << 20); sleep 60' & done; wait"""
    deb = build_deb(tmp_path, "zip", "99", postinst=script)
    with guest.job(tmp_path) as job, pytest.raises(GuestCommandFailed, match="MiB of memory"):
        guest.apply(job, deb)


@pytest.mark.parametrize(
    ("script", "words"),
    [("trap '' TERM; while :; do :; done", "seconds had passed"), ("kill -STOP $$", "seconds")],
    ids=["a busy loop that ignores TERM", "a script that stops itself"],
)
@pytest.mark.slow
def test_a_script_that_would_not_end_is_ended(
    script: str, words: str, guest: Guest, tmp_path: Path
) -> None:
    deb = build_deb(tmp_path, "zip", "99", postinst=script)
    with guest.job(tmp_path) as job, pytest.raises(GuestCommandHung, match=words):
        guest.apply(job, deb, timeout_seconds=20)
