"""What a booted guest is told, tried in a folder that stands for it; what it reports, read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.change.boot_script import (
    CALLS_MAX,
    CMDLINE,
    EARLY,
    FIRST,
    LINE_BYTES_MAX,
    OWN_OPTIONS,
    SCRIPT,
    Report,
    write_script,
)
from regild.change.family import FAMILIES, Family
from regild.change.script import PLACE, STATE, GuestCommand

ECHO = GuestCommand(("sh", "-c", "echo said; echo 'it''s' >&2"), "saying")
FAIL = GuestCommand(("sh", "-c", "exit 7"), "failing")
NEVER = GuestCommand(("sh", "-c", "echo never"), "what comes later")

LINE = 'ro systemd.mask=a.service systemd.mask=b.service systemd.run="/bin/sh x"\n'


def run_script(
    folder: Path,
    *commands: GuestCommand,
    family: Family = FAMILIES["deb"],
    options: str = "",
    root: str = "/dev/vda3",
    layer: str = "",
) -> Report:
    """Run the script in a folder; mounts are only written down. Its root is on a device, which
    lsblk(8) calls a `layer`."""
    for name in ("media", "usr/sbin", "etc/initramfs-tools/conf.d", "etc/dracut.conf.d", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "etc/initramfs-tools/initramfs.conf").write_text('MODULES="dep"\nCOMPRESS=zstd\n')
    (folder / "cmdline").write_text(LINE)
    (folder / "etc/initramfs-tools/conf.d/other").write_text("# MODULES=dep\nMODULES=most\n")
    for name in ("mount", "umount", "stty"):
        tool = folder / "bin" / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >>{folder}/calls\n')
        tool.chmod(0o755)
    unshare = folder / "bin/unshare"
    unshare.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    unshare.chmod(0o755)
    write_script(folder / "media", commands, family, options)
    script = folder / "media" / SCRIPT
    text = script.read_text().replace("/dev/ttyS1", f"{folder}/report")
    text = text.replace(STATE, f"{folder}/state").replace(PLACE, f"{folder}/media")
    text = text.replace(CMDLINE, f"{folder}/cmdline").replace(EARLY, f"{folder}/early")
    text = re.sub(r"(?<![\w.])/(usr/sbin/policy|etc/)", rf"{folder}/\1", text)
    for first in (folder / "media").glob("first/*"):
        own = first.read_text().replace(STATE, f"{folder}/state")
        own = own.replace("findmnt -nvo SOURCE /", f"echo {root}")
        own = own.replace('lsblk -ndo TYPE "$root"', f"echo {layer}")
        first.write_text(re.sub(r"(?<![\w*])/(usr|etc)/", rf"{folder}/\1/", own))
    path = f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    subprocess.run(["sh", "-c", text], env={"PATH": path}, check=True)
    report = Report()
    report.take((folder / "report").read_bytes())
    return report


def test_commands_run_one_after_another_and_what_they_say_is_reported(tmp_path: Path) -> None:
    report = run_script(tmp_path, ECHO, ECHO)
    assert report.codes == {0: 0, 1: 0} and report.is_done
    assert report.said(1) == "said\nits\n\n"


def test_a_command_that_fails_is_the_last_one(tmp_path: Path) -> None:
    report = run_script(tmp_path, ECHO, FAIL, NEVER)
    assert report.codes == {0: 0, 1: 7} and report.begun == [0, 1] and report.is_done


def test_what_was_shown_is_taken_away_again(tmp_path: Path) -> None:
    run_script(tmp_path, ECHO, FAIL)
    calls = (tmp_path / "calls").read_text()
    for place in (
        "usr/sbin/policy-rc.d",
        "etc/initramfs-tools/initramfs.conf",
        "etc/dracut.conf.d/zz-regild.conf",
    ):
        assert re.search(rf"^mount -o bind \S+ {tmp_path}/{place}$", calls, re.MULTILINE)
        assert re.search(rf"^umount {tmp_path}/{place}$", calls, re.MULTILINE)
    assert "conf.d/other" not in calls
    assert not (tmp_path / "usr/sbin/policy-rc.d").exists()
    assert not (tmp_path / "etc/dracut.conf.d/zz-regild.conf").exists()
    shown = (tmp_path / "state/initramfs.conf").read_text()
    assert shown == "MODULES=most\nCOMPRESS=zstd\n"
    assert "dep" in (tmp_path / "etc/initramfs-tools/initramfs.conf").read_text()


def test_a_guest_of_rpm_is_shown_nothing_of_dpkgs(tmp_path: Path) -> None:
    report = run_script(tmp_path, ECHO, family=FAMILIES["rpm"])
    assert report.codes == {0: 0} and report.is_done
    assert not (tmp_path / "media/first").exists()
    assert "policy-rc.d" not in (tmp_path / "calls").read_text()
    assert (tmp_path / "state/cache").is_dir()


def test_commands_see_the_guests_own_options_and_systemd_those_of_this_boot(tmp_path: Path) -> None:
    see = GuestCommand(("cat", f"{PLACE}/{OWN_OPTIONS}"), "looking")
    report = run_script(tmp_path, see, ECHO, family=FAMILIES["rpm"], options="root=UUID=1 rhgb")
    assert report.said(0).strip() == "root=UUID=1 rhgb"
    assert report.codes == {0: 0, 1: 0}
    calls = (tmp_path / "calls").read_text().splitlines()
    shown = f"mount -o bind {tmp_path}/media/{OWN_OPTIONS} {tmp_path}/cmdline"
    assert calls.count(shown) == 2  # by each command, where nobody else sees it
    assert f"mount -o bind {tmp_path}/state/cmdline {tmp_path}/cmdline" in calls


def test_a_unit_that_was_left_out_of_the_boot_can_be_switched_on(tmp_path: Path) -> None:
    early = tmp_path / "early"
    early.mkdir()
    (early / "a.service").symlink_to("/dev/null")
    (early / "own.service").write_text("[Unit]")
    run_script(tmp_path, ECHO)
    assert [path.name for path in early.iterdir()] == ["own.service"]
    assert (tmp_path / "state/cmdline").read_text() == 'ro systemd.run="/bin/sh x"\n'
    assert f"state/cmdline {tmp_path}/cmdline" in (tmp_path / "calls").read_text()


def programs(folder: Path, *places: str) -> None:
    """Programs of a guest that only say that they ran."""
    for name in places:
        real = folder / name
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text("#!/bin/sh\necho real $*\n")
        real.chmod(0o755)


WAYS = "for way in '-c -k 6.1.0-9' -u '-d -k 5'; do update-initramfs $way; done; update-grub"
CALLS = GuestCommand(("sh", "-c", WAYS), "calling")
GRUB = ("usr/sbin/update-initramfs", "usr/sbin/grub-mkconfig", "etc/kernel/postinst.d/dkms")


def test_initramfs_and_menu_are_left_for_later_where_the_guest_has_them(tmp_path: Path) -> None:
    programs(tmp_path, *GRUB, "etc/kernel/postinst.d/zz-update-grub")
    report = run_script(tmp_path, CALLS)
    assert report.later == {"initramfs": ["-c -k 6.1.0-9", "-u"]}
    assert report.said(0).split("\n")[0] == "real -d -k 5"
    assert report.codes == {0: 0}


@pytest.mark.parametrize(
    ("root", "layer", "later"),
    [
        ("/dev/mapper/golden-root", "lvm", True),
        ("/dev/mapper/golden-root", "crypt", False),
        ("/dev/mapper/golden-root", "", False),
        ("/dev/md0", "raid1", False),
        ("/dev/sda1", "part", False),
    ],
)
def test_a_root_in_lvm_has_them_made_later_and_other_layers_at_once(
    root: str, layer: str, later: bool, tmp_path: Path
) -> None:
    programs(tmp_path, *GRUB, "etc/kernel/postinst.d/zz-update-grub")
    report = run_script(tmp_path, CALLS, root=root, layer=layer)
    assert bool(report.later) == later
    assert ("real -u" in report.said(0)) != later


@pytest.mark.parametrize(
    "more",
    ["usr/bin/dracut", "etc/kernel/postinst.d/zz-systemd-boot", "etc/initramfs/post-update.d/mine"],
)
def test_what_has_to_see_this_machine_or_the_files_is_done_at_once(
    more: str, tmp_path: Path
) -> None:
    programs(tmp_path, *GRUB, more)
    report = run_script(tmp_path, CALLS)
    assert report.later == {}
    assert report.said(0).splitlines()[:2] == ["real -c -k 6.1.0-9", "real -u"]


def test_apt_gives_the_same_path_to_scripts(tmp_path: Path) -> None:
    (tmp_path / "apt.conf").write_text("A;\n")
    write_script(tmp_path, (ECHO,), FAMILIES["deb"])
    assert f"APT_CONFIG={PLACE}/booted.conf " in (tmp_path / SCRIPT).read_text()
    first, second = (tmp_path / "booted.conf").read_text().splitlines()
    assert first == "A;" and second.startswith(f'DPkg::Path "{FIRST}:/usr/sbin:')


def test_calls_without_end_are_not_kept() -> None:
    report = Report()
    report.take(b"\x01regild later menu \n" * (CALLS_MAX + 5))
    report.take(b"\x01regild later initramfs -u $(touch x)\n")
    assert list(report.later) == ["menu"] and len(report.later["menu"]) == CALLS_MAX


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=8))
def test_a_report_is_the_same_in_whatever_pieces_it_comes(content: bytes, cuts: list[int]) -> None:
    content = b"\x01regild begin 0\n" + content + b"\n\x01regild end 0 3\nmore\n\x01regild done\n"
    whole, pieces = Report(), Report()
    whole.take(content)
    for cut in cuts:
        pieces.take(content[:cut])
        content = content[cut:]
    pieces.take(content)
    assert pieces.said(0) == whole.said(0)
    assert (pieces.codes, pieces.begun, pieces.is_done) == (whole.codes, whole.begun, whole.is_done)
    assert whole.codes[0] == 3 and whole.is_done


@pytest.mark.parametrize(
    "line",
    [
        b"regild done",
        b"\x01regild begin 1234",
        b"\x01regild end 1",
        b" \x01regild done",
        b"x\x01regild done",
    ],
)
def test_other_lines_are_only_words(line: bytes) -> None:
    report = Report()
    report.take(line + b"\n")
    assert (report.codes, report.begun, report.is_done) == ({}, [], False)


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    report = Report()
    report.take(b"\x01regild begin 0\n")
    for _ in range(3):
        report.take(b"x" * (LINE_BYTES_MAX // 2 + 1))
    assert len(report.said(0)) > LINE_BYTES_MAX
