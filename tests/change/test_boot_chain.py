"""The stand-ins that a guest's scripts are shown for what would look at this machine's devices."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from regild.change.boot_chain import (
    DRACUT,
    FINISH,
    INITRAMFS,
    MARK,
    MENU,
    MKRELPATH,
    PROBE,
    REAL,
    SETTINGS,
    devices_of,
    dress_like,
    inject_boot_chain,
    write_first,
    write_stand_ins,
)
from regild.change.script import STATE
from regild.change.tree import Part

ROOT = Part("/", 0, 1, "ext4", "UUID=1111-2222")
BOOT = Part("/boot", 0, 1, "ext2", "UUID=3333-4444")
EFI = Part("/boot/efi", 0, 1, "vfat", "UUID=AAAA-BBBB")
PARTS = (ROOT, BOOT, EFI)


def put(tree: Path, place: str, text: str) -> Path:
    path = tree / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for place in (INITRAMFS, MENU, PROBE, "/usr/sbin/blkid"):
        put(tree, place, "#!/bin/sh\necho the guest's own\n")
    return tree


def ask(tool: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(["sh", tool, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--target=device", "/"], "/dev/disk/by-uuid/1111-2222"),
        (["--target=device", "/boot"], "/dev/disk/by-uuid/3333-4444"),
        (["--target=fs_uuid", "/boot/efi/EFI"], "AAAA-BBBB"),
        (["--device", "/dev/disk/by-uuid/3333-4444", "--target=fs"], "ext2"),
        (["--device", "/dev/disk/by-uuid/1111-2222", "--target=fs"], "ext2"),
        (["-t", "fs", "/boot/efi"], "fat"),
        (["--target=abstraction", "/"], ""),
        (["--device", "/dev/disk/by-uuid/1111-2222", "--target=hints_string"], ""),
    ],
)
def test_grub_probe_answers_for_the_guests_volumes(
    tree: Path, tmp_path: Path, words: list[str], answer: str
) -> None:
    shown = write_stand_ins(tmp_path / "shown", tree, PARTS)
    assert ask(shown[PROBE], *words) == (0, answer)


LOGICAL = (
    Part("/", 0, 1, "ext4", "UUID=1111-2222", device="/dev/mapper/vg-root"),
    Part("/boot", 0, 1, "ext2", "UUID=3333-4444"),
    Part("/srv/a b", 0, 1, "ext4", "UUID=5555-6666", device="/dev/mapper/$(touch owned)"),
)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--target=device", "/"], "/dev/mapper/vg-root"),
        (["--device", "/dev/mapper/vg-root", "--target=fs_uuid"], "1111-2222"),
        (["--device", "/dev/mapper/vg-root", "--target=abstraction"], "lvm"),
        (["--target=abstraction", "/boot"], ""),
        (["--target=device", "/srv/a b"], "/dev/disk/by-uuid/5555-6666"),
    ],
)
def test_a_logical_volume_goes_by_its_name(
    tree: Path, tmp_path: Path, words: list[str], answer: str
) -> None:
    shown = write_stand_ins(tmp_path / "shown", tree, LOGICAL)
    assert ask(shown[PROBE], *words) == (0, answer)
    assert devices_of(LOGICAL)[:2] == ("/dev/mapper/vg-root", "/dev/disk/by-uuid/1111-2222")


@pytest.mark.parametrize(
    ("place", "answer"),
    [
        ("/boot/vmlinuz-6.1", "/vmlinuz-6.1"),
        ("/boot", "/"),
        ("/", "/"),
        ("/bootlike", "/bootlike"),
        ("/srv/a b/c", "/c"),
    ],
)
def test_a_place_is_told_as_its_own_volume_has_it(
    tree: Path, tmp_path: Path, place: str, answer: str
) -> None:
    put(tree, MKRELPATH, "#!/bin/sh\n")
    shown = write_stand_ins(tmp_path / "shown", tree, LOGICAL)
    assert ask(shown[MKRELPATH], place) == (0, answer)


def test_grub_probe_knows_nothing_of_this_machine(tree: Path, tmp_path: Path) -> None:
    probe = write_stand_ins(tmp_path / "shown", tree, PARTS)[PROBE]
    assert ask(probe, "--device", "/dev/sda1", "--target=fs_uuid") == (1, "")
    assert ask(probe, "--device", "/dev/disk/by-uuid/1111-2222", "--target=partuuid") == (1, "")


def test_blkid_answers_for_the_guests_volumes(tree: Path, tmp_path: Path) -> None:
    blkid = write_stand_ins(tmp_path / "shown", tree, PARTS)["/usr/sbin/blkid"]
    device = "/dev/disk/by-uuid/1111-2222"
    assert ask(blkid, "-l", "-t", "UUID=1111-2222", "-o", "device") == (0, device)
    assert ask(blkid, "-o", "value", "-s", "TYPE", device) == (0, "ext4")
    assert ask(blkid, "-o", "value", "-s", "TYPE", "/dev/sda1") == (2, "")


def test_a_mount_point_or_uuid_with_shell_in_it_is_no_shell(tree: Path, tmp_path: Path) -> None:
    strange = (
        Part("/a) touch /tmp/owned;; (b", 0, 1, "ext4", "UUID=5555-6666"),
        Part("/c", 0, 1, "ext4", "UUID=$(touch owned)"),
    )
    shown = write_stand_ins(tmp_path / "shown", tree, (ROOT, *strange))
    text = shown[PROBE].read_text()
    assert "touch" not in text.replace("?touch", "") and "$(touch" not in text
    names = [f"/dev/disk/by-uuid/{uuid}" for uuid in ("1111-2222", "5555-6666")]
    assert devices_of((ROOT, *strange)) == tuple(names)
    assert ask(shown[PROBE], "--target=fs_uuid", "/") == (0, "1111-2222")


def test_this_machines_hardware_does_not_decide_what_the_initramfs_holds(
    tree: Path, tmp_path: Path
) -> None:
    put(tree, f"{SETTINGS}/initramfs.conf", "# MODULES=dep\nMODULES=most\nCOMPRESS=zstd\n")
    put(tree, f"{SETTINGS}/conf.d/driver-policy", 'MODULES="dep"\nFSTYPE=auto\n')
    shown = write_stand_ins(tmp_path / "shown", tree, PARTS)
    assert f"{SETTINGS}/initramfs.conf" not in shown
    policy = shown[f"{SETTINGS}/conf.d/driver-policy"]
    assert policy.read_text() == "MODULES=most\nFSTYPE=auto\n"


def test_nothing_is_shown_for_what_the_guest_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "tree/usr/sbin").mkdir(parents=True)
    assert not inject_boot_chain(tmp_path / "layer", tmp_path / "tree")
    assert list(tmp_path.glob("layer/**/*")) == []
    assert write_stand_ins(tmp_path / "shown", tmp_path / "tree", PARTS) == {}


def test_links_of_the_guest_are_not_followed(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside/update-initramfs", "secret of the host")
    (tmp_path / "tree/usr").mkdir(parents=True)
    (tmp_path / "tree/usr/sbin").symlink_to(outside.parent)
    assert not inject_boot_chain(tmp_path / "layer", tmp_path / "tree")
    (tmp_path / "tree/usr/sbin").unlink()
    (tmp_path / "tree/usr/sbin").mkdir()
    (tmp_path / "tree/usr/sbin/update-initramfs").symlink_to(outside)
    assert not inject_boot_chain(tmp_path / "layer", tmp_path / "tree")


def test_the_layers_folders_look_like_the_trees(tree: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    assert inject_boot_chain(layer, tree)
    (tree / "usr/sbin").chmod(0o711)
    dress_like(layer, tree)
    mine, own = (layer / "usr/sbin").stat(), (tree / "usr/sbin").stat()
    assert (mine.st_mode, mine.st_mtime_ns) == (own.st_mode, own.st_mtime_ns)


class Machine:
    """The last command's script in a folder, with programs that only say that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        (folder / "state").mkdir(parents=True)
        (folder / "boot/grub").mkdir(parents=True)
        (folder / "boot/grub/grub.cfg").touch()
        for version in ("6.1.0-9-amd64", "6.1.0-10-amd64"):
            (folder / f"boot/vmlinuz-{version}").touch()
        self.real = put(folder, INITRAMFS + REAL, f'#!/bin/sh\necho "$@" >> {self.calls}\n')
        put(folder, INITRAMFS, "# Shown while an image is changed offline\n")
        put(folder, "bin/grub-mkconfig", f"#!/bin/sh\necho menu >> {self.calls}\n")

    def finish(self, *asked: str, menu: bool = False) -> list[str]:
        (self.folder / "state/initramfs").write_text("".join(f"{line}\n" for line in asked))
        if menu:
            (self.folder / "state/menu").write_text("\n")
        script = FINISH.argv[2].replace(STATE, f"{self.folder}/state")
        script = script.replace("/usr/sbin", f"{self.folder}/usr/sbin")
        script = script.replace("/boot", f"{self.folder}/boot")
        path = f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(["sh", "-c", script], env={"PATH": path}, check=True)
        return self.calls.read_text().splitlines() if self.calls.exists() else []


def test_what_was_asked_for_twice_is_made_once(tmp_path: Path) -> None:
    new = "-c -k 6.1.0-10-amd64 -b /boot"
    assert Machine(tmp_path).finish(new, new, "-u", menu=True) == ["-c -k 6.1.0-10-amd64", "menu"]


def test_an_update_without_a_version_means_the_newest(tmp_path: Path) -> None:
    assert Machine(tmp_path).finish("-u") == ["-u -k 6.1.0-10-amd64"]


def test_nothing_asked_for_is_nothing_made(tmp_path: Path) -> None:
    assert Machine(tmp_path).finish() == []


def test_a_kernel_that_is_gone_again_gets_no_initramfs(tmp_path: Path) -> None:
    assert Machine(tmp_path).finish("-c -k 5.10.0-1-amd64 -b /boot") == []


def test_all_means_all(tmp_path: Path) -> None:
    assert Machine(tmp_path).finish("-u -k all") == ["-u -k all"]


def test_initramfs_tools_that_were_replaced_make_all_anew(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "state/shown").touch()
    put(tmp_path, INITRAMFS, machine.real.read_text())
    assert machine.finish("-u") == ["-u -k all"]


def test_dracut_is_not_run_for_this_machine(tmp_path: Path) -> None:
    place = put(tmp_path, "tree" + DRACUT, "#!/bin/sh\necho the guest's own\n")
    inject_boot_chain(tmp_path / "layer", tmp_path / "tree")
    assert MARK in (tmp_path / ("layer" + DRACUT)).read_text()
    assert (tmp_path / ("layer" + DRACUT + REAL)).read_bytes() == place.read_bytes()
    machine = Machine(tmp_path / "machine")
    put(machine.folder, "state/dracut", "-q --force /boot/initrd.img-6.1.0-10-amd64\n")
    with pytest.raises(subprocess.CalledProcessError):
        machine.finish("-u", menu=True)
    assert not machine.calls.exists()


def test_a_stand_in_holds_where_a_package_replaces_the_program(tmp_path: Path) -> None:
    write_first(tmp_path / "first")
    real = put(tmp_path, MENU, "#!/bin/sh\necho real $*\n")
    for tool in (tmp_path / "first").iterdir():
        text = tool.read_text().replace(STATE, str(tmp_path))
        tool.write_text(text.replace("/usr/sbin", f"{tmp_path}/usr/sbin"))
    assert ask(tmp_path / "first/update-grub", "-o", "x") == (0, "")
    assert ask(tmp_path / "first/update-grub", "--version") == (0, "real --version")
    assert ask(tmp_path / "first/update-initramfs", "-u") == (0, "")  # the guest has none
    assert (tmp_path / "menu").read_text() == "-o x\n"
    assert not (tmp_path / "initramfs").exists()
    assert real.exists()
