"""Which kernel a guest is booted with, and what is refused."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from regild.change.first_program import PROGRAM
from regild.change.start import KERNEL_MAX, Start, kernel_options, read_start
from regild.errors import CannotBoot, MissingFile, TooLarge
from regild.image.tree import Guest, Mount, Node
from regild.image.volumes import Volume
from regild.model.content import BootEntry

RUN = "/usr/lib/systemd/system-generators/systemd-run-generator"


@dataclass
class Files:
    """A guest's tree of a few files."""

    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str, limit: int) -> bytes:
        if path not in self.files:
            raise MissingFile(where=path, why="it is not there")
        if len(self.files[path]) > limit or self.files[path] == b"huge":
            raise TooLarge(where=path, why="it is large")
        return self.files[path]

    def names(self, path: str) -> tuple[str, ...]:
        below = [name for name in self.files if name.startswith(f"{path}/")]
        if not below:
            raise MissingFile(where=path, why="it is not there")
        return tuple(sorted(name.removeprefix(f"{path}/") for name in below))

    def find(self, path: str) -> Node | None:
        return Node("file") if path in self.files else None


def guest_of(**files: bytes) -> Guest:
    tree = Files({name.replace("_", "/").replace("Q", "-"): text for name, text in files.items()})
    volume = Volume(1, "partition 1", 0, 1, "filesystem", "ext4", uuid="1-2")
    return Guest(cast("Files", tree), (volume,), (Mount("/", volume, "ext4"),), (), ())


def systemd(**files: bytes) -> Guest:
    guest = guest_of(**files)
    cast("Files", guest.tree).files[RUN] = b""
    return guest


ENTRY = BootEntry("x", "/vmlinuz-1", "1", "grub.cfg", "/initrd.img-1", "/dev/mapper/a-root")


def test_the_first_entry_of_the_menu_that_is_there_is_booted(tmp_path: Path) -> None:
    guest = systemd(_boot_vmlinuzQ1=b"kernel", _boot_initrd=b"")
    cast("Files", guest.tree).files["/boot/initrd.img-1"] = b"memory"
    gone = BootEntry("gone", "/vmlinuz-9", "9", "grub.cfg", "/initrd.img-9", "UUID=9")
    start = read_start(guest, (gone, ENTRY), tmp_path)
    assert (start.name, start.root) == ("/boot/vmlinuz-1", "/dev/mapper/a-root")
    assert Path(start.kernel).read_bytes() == b"kernel"
    assert Path(start.initrd).read_bytes() == b"memory"


def test_without_a_menu_the_newest_kernel_mounts_the_guests_own_root(tmp_path: Path) -> None:
    guest = systemd()
    for name in ("vmlinuz-5", "initrd.img-5", "vmlinuz-6", "initrd.img-6"):
        cast("Files", guest.tree).files[f"/boot/{name}"] = name.encode()
    start = read_start(guest, (), tmp_path)
    assert (start.name, start.root) == ("/boot/vmlinuz-6", "UUID=1-2")


FILED = {
    "/boot/loader/entries/a-5.9.conf": b"options root=UUID=1-2 $kernelopts quiet $tuned_params\n",
    "/boot/loader/entries/a-5.10.conf": b"title x\noptions\troot=UUID=1-2 rhgb\n",
    "/boot/grub2/grubenv": b"# GRUB\nkernelopts=ro crashkernel=auto\nsaved_entry=a\n#####",
    **{f"/boot/{name}-{version}": version.encode()
       for version in ("5.9", "5.10") for name in ("vmlinuz", "initrd")},
}  # fmt: skip


def filed(version: str) -> BootEntry:
    where = f"/boot/loader/entries/a-{version}.conf"
    return BootEntry("x", f"/vmlinuz-{version}", version, where, f"/initrd-{version}", "UUID=1-2")


def test_of_entries_in_files_the_newest_kernel_is_booted(tmp_path: Path) -> None:
    guest = systemd()
    cast("Files", guest.tree).files |= FILED
    start = read_start(guest, (ENTRY, filed("5.9"), filed("5.10")), tmp_path)
    assert (start.name, start.options) == ("/boot/vmlinuz-5.10", "root=UUID=1-2 rhgb")


def test_variables_of_the_boot_loader_have_their_values_or_go(tmp_path: Path) -> None:
    guest = systemd()
    cast("Files", guest.tree).files |= FILED
    start = read_start(guest, (filed("5.9"),), tmp_path)
    assert start.options == "root=UUID=1-2 ro crashkernel=auto quiet"
    cast("Files", guest.tree).files["/boot/grub2/grubenv"] = b"kernelopts=a\x01b\n"
    assert read_start(guest, (filed("5.9"),), tmp_path).options == ""


def test_a_root_that_is_no_plain_word_is_not_told_to_the_kernel(tmp_path: Path) -> None:
    guest = systemd(_vmlinuz=b"k")
    cast("Files", guest.tree).files["/initrd.img"] = b"i"
    strange = BootEntry("x", "/vmlinuz", "1", "g", "/initrd.img", 'UUID=1 systemd.run="rm"')
    assert read_start(guest, (strange,), tmp_path).root == "UUID=1-2"


def test_a_guest_that_takes_no_commands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotBoot, match="systemd"):
        read_start(guest_of(_vmlinuz=b"k"), (), tmp_path)


def test_a_guest_without_a_kernel_is_refused(tmp_path: Path) -> None:
    guest = systemd()
    cast("Files", guest.tree).files["/boot/vmlinuz-1"] = b"huge"
    with pytest.raises(CannotBoot, match="no kernel"):
        read_start(guest, (ENTRY,), tmp_path)
    assert KERNEL_MAX > 1 << 20


ALPINE = "/usr/share/mkinitfs/initramfs-init"


def test_a_guest_of_mkinitfs_runs_the_script_in_place_of_its_first_program(tmp_path: Path) -> None:
    guest = guest_of(_boot_vmlinuzQvirt=b"kernel", _boot_initramfsQvirt=b"packed")
    with pytest.raises(CannotBoot):
        read_start(guest, (), tmp_path)
    cast("Files", guest.tree).files[ALPINE] = b""
    start = read_start(guest, (), tmp_path)
    assert start.filesystem == "ext4"
    assert "systemd" not in (options := kernel_options(start, "0" * 32))
    assert options.startswith("root=UUID=1-2 ro ") and options.endswith(" rootfstype=ext4")
    memory = Path(start.initrd).read_bytes()
    assert memory[:6] == b"packed" and memory[6:512] == bytes(506)
    done = subprocess.run(["cpio", "-it"], input=memory[512:], capture_output=True, check=True)
    assert done.stdout.split() == [b"sbin/switch_root"]
    packed = subprocess.run(
        ["cpio", "-i", "--to-stdout"], input=memory[512:], capture_output=True, check=True
    )
    assert packed.stdout.decode() == PROGRAM
    subprocess.run(["sh", "-n"], input=packed.stdout, check=True)


def start_of(root: str) -> Start:
    return Start("", "", root, "")


def test_the_kernel_is_told_to_mount_run_and_power_off() -> None:
    words = shlex.split(kernel_options(start_of("UUID=1-2"), "0" * 32))
    assert words[0] == "root=UUID=1-2"
    runs = [word.removeprefix("systemd.run=") for word in words if word.startswith("systemd.run=")]
    assert [line.split()[0] for line in runs] == ["/bin/mkdir", "/bin/mount", "/bin/sh"]
    assert "systemd.run_failure_action=poweroff" in words
    longest = kernel_options(start_of("UUID=" + "1" * 36), "0" * 32)
    assert len(longest) < 2048  # COMMAND_LINE_SIZE of x86
