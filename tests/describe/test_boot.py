"""What boot loaders offer, in the words that update-grub and kernel-install write."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from regild.describe.boot import read_boot
from regild.model.content import BootEntry
from tests.describe.guests import FolderTree, MemoryTree

GRUB = """set default="0"
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	search --no-floppy --fs-uuid --set=root 1
	echo	'Loading Linux 6.1.0-18-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=1 ro secret=1 quiet
	initrd	/boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian, with Linux 6.1.0-9-amd64 (recovery mode)' --class debian {
		linux	/boot/vmlinuz-6.1.0-9-amd64 root=UUID=1 ro single
	}
}
menuentry "UEFI Firmware Settings" {
	fwsetup
}
menuentry 'GNU' {
  linuxefi /vmlinuz root=/dev/sda1
}
"""
BLS = """# made by kernel-install
title      Fedora Linux (6.8.5-301.fc40.x86_64) 40
version    6.8.5-301.fc40.x86_64
linux      /vmlinuz-6.8.5-301.fc40.x86_64
initrd     /initramfs-6.8.5-301.fc40.x86_64.img
options    root=UUID=1 ro rd.luks.key=secret
"""


def test_a_menu_of_grub_gives_its_kernels() -> None:
    path = "/boot/grub/grub.cfg"
    menu = read_boot(MemoryTree({path: GRUB}))
    assert menu.unknowns == ()
    assert menu.entries == (
        BootEntry(
            "Debian GNU/Linux",
            "/boot/vmlinuz-6.1.0-18-amd64",
            "6.1.0-18-amd64",
            path,
            "/boot/initrd.img-6.1.0-18-amd64",
            "UUID=1",
        ),
        BootEntry(
            "Debian, with Linux 6.1.0-9-amd64 (recovery mode)",
            "/boot/vmlinuz-6.1.0-9-amd64",
            "6.1.0-9-amd64",
            path,
            root="UUID=1",
        ),
        BootEntry("GNU", "/vmlinuz", "", path, root="/dev/sda1"),
    )


def test_a_link_to_a_kernel_tells_its_version(tmp_path: Path) -> None:
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text(GRUB)
    (tmp_path / "vmlinuz").symlink_to("boot/vmlinuz-6.1.0-18-amd64")
    assert read_boot(FolderTree(tmp_path)).entries[-1].version == "6.1.0-18-amd64"


def test_entries_of_the_specification_are_read_without_their_options() -> None:
    path = "/boot/loader/entries/1-6.8.5.conf"
    (entry,) = read_boot(MemoryTree({path: BLS, "/boot/loader/entries/x.old": "x"})).entries
    assert (entry.version, entry.kernel) == (
        "6.8.5-301.fc40.x86_64",
        "/vmlinuz-6.8.5-301.fc40.x86_64",
    )
    assert "secret" not in str(entry)


def test_a_guest_without_a_loader_offers_nothing() -> None:
    assert read_boot(MemoryTree({"/etc/x": ""})) == ((), ())


@pytest.mark.parametrize(
    "files",
    [
        {"/boot/grub/grub.cfg": "a" * (1 << 20) + "b"},
        {"/boot/grub/grub.cfg": "menuentry x {\nlinux /v\n}\n" * 501},
        {"/boot/loader/entries/x.conf": "title x\n"},
        {"/boot/loader/entries": "no folder"},
    ],
)
def test_what_cannot_be_read_is_unknown(files: dict[str, str]) -> None:
    tree = MemoryTree(files)
    if "/boot/loader/entries" in files:
        assert read_boot(tree).entries == ()
        return
    assert len(read_boot(tree).unknowns) == 1


def test_any_bytes_give_entries_or_unknowns() -> None:
    chance = random.Random(1)
    for _ in range(200):
        changed = bytearray((GRUB + BLS).encode())
        for _ in range(8):
            changed[chance.randrange(len(changed))] = chance.choice(b"\n'\"{}\0\xff ")
        for path in ("/boot/grub/grub.cfg", "/boot/loader/entries/a.conf"):
            for entry in read_boot(MemoryTree({path: bytes(changed)})).entries:
                assert len(entry.title) <= 300
