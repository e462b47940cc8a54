"""Damage of every kind to a guest that was really changed, each found by the check that is meant
to find it; the undamaged result is found whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from regild.prove.static import Found
from tests.change.guests import guest_of
from tests.prove.patched import MODULES, Patched, Patient, damaged, patched
from tests.prove.test_boot_chain import INITRD, KERNEL, MENU, initrd, kernel

pytestmark = pytest.mark.timeout(240)
STATUS = "/var/lib/dpkg/status"
INFO = "/var/lib/dpkg/info"
WANTS = "/etc/systemd/system/multi-user.target.wants"
ZIP = b"Package: zip\nStatus: install ok installed"


class Fault(NamedTuple):
    """How a guest is damaged, which check has to see it, and where."""

    damage: Callable[[Patient], object]
    check: str
    where: str
    observed: str = ""


FAULTS: dict[str, Fault] = {
    # Packages and their database
    "a half-configured package": Fault(
        lambda p: p.edit(STATUS, ZIP, ZIP.replace(b"ok installed", b"ok half-configured")),
        "states",
        "zip",
        "half-configured",
    ),
    "an unpacked package": Fault(
        lambda p: p.edit(STATUS, ZIP, ZIP.replace(b"ok installed", b"ok unpacked")),
        "states",
        "zip",
        "unpacked",
    ),
    "a package that waits for triggers": Fault(
        lambda p: p.edit(STATUS, ZIP, ZIP.replace(b"ok installed", b"ok triggers-awaited")),
        "states",
        "zip",
        "triggers-awaited",
    ),
    "a package that must be installed again": Fault(
        lambda p: p.edit(STATUS, ZIP, ZIP.replace(b"ok installed", b"reinstreq half-installed")),
        "states",
        "zip",
    ),
    "a package at its old version": Fault(
        lambda p: p.edit(STATUS, b"Version: 99", b"Version: 3.0-1"), "packages", "", "3.0-1"
    ),
    "a package that vanished from the database": Fault(
        lambda p: p.edit(STATUS, b"Package: zip\n", b"Package: zap\n"), "packages", "zip", "absent"
    ),
    "a package on hold that was not": Fault(
        lambda p: p.edit(STATUS, ZIP, ZIP.replace(b"install ok", b"hold ok")),
        "packages",
        "zip",
        "on hold",
    ),
    "a package's list gone": Fault(lambda p: p.remove(f"{INFO}/zip.list"), "lists", "zip", "none"),
    "a package's list emptied": Fault(lambda p: p.write(f"{INFO}/zip.list", b""), "lists", "zip"),
    "a package's list cut short": Fault(
        lambda p: p.write(f"{INFO}/zip.list", b"/.\n/usr\n/usr/bin\n"),
        "files",
        "/usr/bin/zip",
        "in none",
    ),
    "a database cut in the middle": Fault(
        lambda p: p.write(STATUS, p.content(STATUS)[:5000]), "packages", "", "absent"
    ),
    # Files of packages
    "an altered binary": Fault(
        lambda p: p.edit("/usr/bin/zip", b"new", b"bad"), "files", "/usr/bin/zip"
    ),
    "a binary cut short": Fault(
        lambda p: p.write("/usr/bin/zip", b"\x7fELF"), "files", "/usr/bin/zip"
    ),
    "a binary that grew": Fault(
        lambda p: p.write("/usr/bin/zip", b"\x7fELF new and more"), "files", "/usr/bin/zip"
    ),
    "a binary emptied by a full disk": Fault(
        lambda p: p.write("/usr/bin/unzip", b""), "files", "/usr/bin/unzip"
    ),
    "a binary gone": Fault(
        lambda p: p.remove("/usr/bin/unzip"), "files", "/usr/bin/unzip", "absent"
    ),
    "a file that became a link": Fault(
        lambda p: p.relink("/usr/bin/zip", "/bin/true"), "files", "/usr/bin/zip", "symlink"
    ),
    "a file that became a folder": Fault(
        lambda p: (p.remove("/usr/bin/zip"), p.make("/usr/bin/zip", "directory")),
        "files",
        "/usr/bin/zip",
        "directory",
    ),
    "a link that leads elsewhere": Fault(
        lambda p: p.relink("/usr/share/zip/link", "../../../etc/shadow"),
        "files",
        "/usr/share/zip/link",
        "link to ../../../etc/shadow",
    ),
    "a link gone": Fault(
        lambda p: p.remove("/usr/share/zip/link"), "files", "/usr/share/zip/link", "absent"
    ),
    "a hard link gone": Fault(
        lambda p: p.remove("/usr/share/zip/twin"), "files", "/usr/share/zip/twin", "absent"
    ),
    "a setuid bit too many": Fault(
        lambda p: p.dress("/usr/bin/unzip", mode=0o4755), "files", "/usr/bin/unzip", "4755"
    ),
    "a file that all may write": Fault(
        lambda p: p.dress("/usr/bin/zip", mode=0o777), "files", "/usr/bin/zip", "0777"
    ),
    "a program that cannot be run": Fault(
        lambda p: p.dress("/usr/share/zip/read.me", mode=0o000), "files", "/usr/share/zip/"
    ),
    "a file of another owner": Fault(
        lambda p: p.dress("/usr/bin/unzip", uid=33), "files", "/usr/bin/unzip", "33:0"
    ),
    # Configuration
    "a configuration file that is neither": Fault(
        lambda p: p.write("/etc/zip.conf", b"level=0\n"), "config", "/etc/zip.conf"
    ),
    "a configuration file emptied": Fault(
        lambda p: p.write("/etc/zip.d/more.conf", b""), "config", "/etc/zip.d/more.conf"
    ),
    "a configuration file gone": Fault(
        lambda p: p.remove("/etc/zip.conf"), "config", "/etc/zip.conf"
    ),
    "another sum of a configuration file in the database": Fault(
        lambda p: p.edit(STATUS, b" /etc/zip.conf ", b" /etc/zip.conf 0"),
        "config",
        "dpkg's sum of /etc/zip.conf",
    ),
    # What boots
    "the kernel gone": Fault(lambda p: p.remove(KERNEL), "boot", "boot chain", "no kernel"),
    "another kernel in its place": Fault(
        lambda p: p.write(KERNEL, kernel("6.1.0-8-amd64")), "boot", "boot chain", "6.1.0-8"
    ),
    "the wrong kernel in the boot entry": Fault(
        lambda p: p.edit(MENU, KERNEL.encode(), b"/boot/vmlinuz-5.10.0-1-amd64"),
        "boot",
        "boot chain",
        "no kernel /boot/vmlinuz-5.10",
    ),
    "the initial RAM disk gone": Fault(
        lambda p: p.remove(INITRD), "boot", "boot chain", "no initial RAM disk"
    ),
    "an initial RAM disk cut short": Fault(
        lambda p: p.write(INITRD, p.content(INITRD)[:60]), "boot", "boot chain", "damaged"
    ),
    "an initial RAM disk of another kernel": Fault(
        lambda p: p.write(INITRD, initrd("init", "lib/modules/5.10", "lib/modules/5.10/ext4.ko")),
        "boot",
        "boot chain",
        "holds no modules",
    ),
    "an initial RAM disk without the root's filesystem": Fault(
        lambda p: p.write(INITRD, initrd("init", MODULES[1:])), "boot", "boot chain", "cannot mount"
    ),
    "an initial RAM disk without a beginning": Fault(
        lambda p: p.write(INITRD, initrd(MODULES[1:], f"{MODULES[1:]}/ext4.ko")),
        "boot",
        "boot chain",
        "nothing to begin with",
    ),
    "the module list gone": Fault(
        lambda p: p.remove(f"{MODULES}/modules.dep"), "boot", "boot chain", "depmod"
    ),
    "the module list emptied": Fault(
        lambda p: p.write(f"{MODULES}/modules.dep", b""), "boot", "boot chain", "depmod"
    ),
    "a stale module list": Fault(
        lambda p: p.write(f"{MODULES}/modules.dep", b"kernel/old.ko:\n"),
        "boot",
        "boot chain",
        "kernel/old.ko",
    ),
    "a module that the list does not have": Fault(
        lambda p: p.add(f"{MODULES}/kernel/new.ko"), "boot", "boot chain", "kernel/new.ko"
    ),
    "another root in the boot entry": Fault(
        lambda p: p.edit(MENU, b"root=UUID=", b"root=UUID=0"), "boot", "boot chain", "it mounts"
    ),
    # What names others
    "an alternative that leads nowhere": Fault(
        lambda p: p.relink("/etc/alternatives/packer", "/usr/bin/gone"),
        "links",
        "/etc/alternatives/packer",
    ),
    "an enabled unit that leads nowhere": Fault(
        lambda p: p.relink(f"{WANTS}/zip.service", "/usr/lib/zip/gone.service"),
        "links",
        f"{WANTS}/zip.service",
    ),
    "a circle of links": Fault(
        lambda p: p.relink("/etc/alternatives/packer", "packer"), "links", "/etc/alternatives/"
    ),
    "the linker's cache gone": Fault(
        lambda p: p.remove("/etc/ld.so.cache"), "linker", "/etc/ld.so.cache", "absent"
    ),
    "the linker's cache overwritten": Fault(
        lambda p: p.write("/etc/ld.so.cache", b"x" * 500), "linker", "/etc/ld.so.cache"
    ),
    "a linker's cache that is stale": Fault(
        lambda p: p.edit("/etc/ld.so.cache", b"/libzipper.so.1\0", b"/libzapper.so.1\0"),
        "linker",
        "libzapper",
        "nothing there",
    ),
    # Accounts
    "a changed password": Fault(
        lambda p: p.edit("/etc/shadow", b"root:*", b"root:$6$a$b"), "accounts", "/etc/shadow: root"
    ),
    "an empty password": Fault(
        lambda p: p.edit("/etc/shadow", b"root:*", b"root:"), "accounts", "/etc/shadow: root"
    ),
    "a second root": Fault(
        lambda p: p.append("/etc/passwd", b"r:x:0:0::/:/bin/sh\n"),
        "accounts",
        "/etc/passwd: r",
    ),
    "a person's account that a package made": Fault(
        lambda p: p.write(
            "/etc/passwd", p.content("/etc/passwd") + b"eve:x:1000:1000::/:/bin/sh\n"
        ),
        "accounts",
        "/etc/passwd: eve",
    ),
    "an account gone": Fault(
        lambda p: p.edit("/etc/passwd", b"\nmail:", b"\nmaul:"), "accounts", "/etc/passwd: mail"
    ),
    "a service that got a shell": Fault(
        lambda p: p.edit("/etc/passwd", b"/var/mail:/usr/sbin/nologin", b"/var/mail:/bin/sh"),
        "accounts",
        "/etc/passwd: mail",
    ),
    "a number that another account has now": Fault(
        lambda p: p.edit("/etc/passwd", b"mail:x:8:", b"mail:x:9:"), "accounts", "/etc/passwd: mail"
    ),
    "passwords that all may read": Fault(
        lambda p: p.dress("/etc/shadow", mode=0o644), "accounts", "/etc/shadow", "0644"
    ),
    "an account file that all may write": Fault(
        lambda p: p.dress("/etc/passwd", mode=0o666), "accounts", "/etc/passwd", "0666"
    ),
    "accounts gone": Fault(lambda p: p.remove("/etc/group"), "accounts", "/etc/group", "absent"),
    "a line that is no account": Fault(
        lambda p: p.append("/etc/passwd", b"nonsense\n"),
        "accounts",
        "/etc/passwd:",
    ),
    # The image's own
    "an identity made up": Fault(
        lambda p: p.write("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n"),
        "identity",
        "/etc/machine-id",
    ),
    "another host's name": Fault(
        lambda p: p.write("/etc/hostname", b"builder\n"), "identity", "/etc/hostname"
    ),
    "a host key made up": Fault(
        lambda p: (p.make("/etc/ssh", "directory"), p.add("/etc/ssh/ssh_host_rsa_key", b"k")),
        "identity",
        "/etc/ssh/ssh_host_rsa_key",
    ),
    "this machine's resolver": Fault(
        lambda p: p.write("/etc/resolv.conf", b"nameserver 192.0.2.1\n"),
        "identity",
        "/etc/resolv.conf",
    ),
    "a key for root": Fault(
        lambda p: (p.make("/root/.ssh", "directory"), p.add("/root/.ssh/authorized_keys", b"k")),
        "identity",
        "/root/.ssh/authorized_keys",
    ),
    # What a change makes for itself
    "a policy-rc.d": Fault(
        lambda p: p.add("/usr/sbin/policy-rc.d", b"exit 101\n", 0o755),
        "leftovers",
        "/usr/sbin/policy-rc.d",
    ),
    "a file that dpkg did not finish": Fault(
        lambda p: p.add("/usr/bin/zip.dpkg-new"), "leftovers", "/usr/bin/zip.dpkg-new"
    ),
    "a file that dpkg set aside": Fault(
        lambda p: p.add("/usr/share/zip/read.me.dpkg-tmp"), "leftovers", "read.me.dpkg-tmp"
    ),
    "what FUSE hid": Fault(
        lambda p: p.add("/var/lib/dpkg/.fuse_hidden0001"), "leftovers", ".fuse_hidden0001"
    ),
    "a deletion that was not carried out": Fault(
        lambda p: p.add("/usr/bin/.wh.zip"), "leftovers", "/usr/bin/.wh.zip"
    ),
    "an update of the database that waits": Fault(
        lambda p: p.add("/var/lib/dpkg/updates/0001", ZIP), "leftovers", "/updates/0001"
    ),
    "a trigger that waits": Fault(
        lambda p: p.write("/var/lib/dpkg/triggers/Unincorp", b"ldconfig libc-bin\n"),
        "leftovers",
        "/var/lib/dpkg/triggers/Unincorp",
    ),
    "a seed for the first boot": Fault(
        lambda p: (
            p.make("/var/lib/cloud", "directory"),
            p.make("/var/lib/cloud/seed", "directory"),
            p.make("/var/lib/cloud/seed/nocloud", "directory"),
        ),
        "leftovers",
        "/var/lib/cloud/seed/nocloud",
    ),
    "a unit of ours": Fault(
        lambda p: p.add("/etc/systemd/system/regild-run.service", b"[Service]\n"),
        "leftovers",
        "regild-run.service",
    ),
    # What nobody's record explains
    "a file that nobody explains": Fault(
        lambda p: p.add("/usr/lib/backdoor", b"x"), "touched", "/usr/lib/backdoor", "added"
    ),
    "another package's file altered": Fault(
        lambda p: p.edit("/etc/debian_version", b"12", b"13"), "touched", "/etc/debian_version"
    ),
    "another package's file gone": Fault(
        lambda p: p.remove("/etc/debian_version"), "touched", "/etc/debian_version", "absent"
    ),
    "another package's program with a setuid bit": Fault(
        lambda p: p.dress("/usr/bin/env", mode=0o4755), "touched", "/usr/bin/env", "104755"
    ),
    "a time that changed": Fault(
        lambda p: p.dress("/etc/debian_version", mtime_ns=NOW_NS), "touched", "/etc/debian_version"
    ),
    "an attribute that nobody set": Fault(
        lambda p: p.writing.write_attributes(
            p.number("/usr/bin/env"), {}, {"security.capability": bytes(20)}
        ),
        "touched",
        "/usr/bin/env",
        "others",
    ),
    "a device that nobody made": Fault(
        lambda p: p.make("/etc/fifo", "fifo"), "touched", "/etc/fifo", "added"
    ),
    # The filesystem
    "a count of names that is wrong": Fault(
        lambda p: corrupt_links(p, "/usr/bin/env"), "filesystems", "filesystem of /", "ref count"
    ),
    "blocks that are in use and called free": Fault(
        lambda p: corrupt_bitmap(p), "filesystems", "filesystem of /", "itmap"
    ),
    "a filesystem marked as damaged": Fault(
        lambda p: mark_damaged(p), "filesystems", "filesystem of /", "checksum"
    ),
}
NOW_NS = 1_900_000_000_000_000_000


def corrupt_links(patient: Patient, path: str) -> None:
    """An inode that claims one name more than it has."""
    number = patient.number(path)
    raw = bytearray(patient.volume.read_inode(number).raw)
    raw[26] += 1
    patient.volume.library.write_inode(number, bytes(raw))


def corrupt_bitmap(patient: Patient) -> None:
    """The first group's block bitmap, one byte of it cleared."""
    block = patient.volume.block_bytes
    table = patient.volume.device.read(block * (2 if block == 1024 else 1), 64)
    place = int.from_bytes(table[:4], "little") * block
    patient.writing.flush()
    patient.volume.device.write(place, bytes(1))


def mark_damaged(patient: Patient) -> None:
    """The superblock's state says that errors were seen."""
    patient.writing.flush()
    patient.volume.device.write(1024 + 58, (2).to_bytes(2, "little"))


@pytest.fixture(scope="module")
def result(small_ova: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patched]:
    folder = tmp_path_factory.mktemp("patched")
    folder.parent.chmod(0o755)
    with patched(guest_of(small_ova), folder) as made:
        yield made


def test_an_undamaged_result_is_found_whole(result: Patched, tmp_path: Path) -> None:
    with damaged(result, tmp_path, lambda patient: None) as overlay:
        proof = result.prove(overlay, tmp_path)
    assert proof.found == ()
    assert [one.where for one in proof.unchecked] == ["applications", "sums"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_every_damage_is_found_for_what_it_is(name: str, result: Patched, tmp_path: Path) -> None:
    fault = FAULTS[name]
    with damaged(result, tmp_path, fault.damage) as overlay:
        found = result.prove(overlay, tmp_path).found
    assert is_seen(fault, found), found


def is_seen(fault: Fault, found: tuple[Found, ...]) -> bool:
    """Whether a damage was found by the check that is meant to find it, where it is."""
    return any(
        one.check == fault.check
        and fault.where in one.difference.what
        and fault.observed in one.difference.observed
        for one in found
    )


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_all_kinds_of_damage_are_found_and_what_the_proof_of_each_costs(
    result: Patched, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    missed, costs = [], {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with damaged(result, folder, fault.damage) as overlay:
            begun = sum(os.times()[:4])
            found = result.prove(overlay, folder).found
            costs[name] = sum(os.times()[:4]) - begun
        if not is_seen(fault, found):
            missed.append(name)
    slowest = max(costs, key=lambda name: costs[name])
    record_property("kinds of damage", len(FAULTS))
    record_property("not found by the check that is meant to", len(missed))
    record_property("CPU s for all", f"{sum(costs.values()):.1f}")
    record_property(f"CPU s for the slowest ({slowest})", f"{costs[slowest]:.2f}")
    assert not missed
    assert costs[slowest] < 15


def test_there_are_at_least_fifty_kinds_of_damage() -> None:
    assert len(FAULTS) >= 50
