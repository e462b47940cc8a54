"""Each way in which a boot chain can be broken is found, and a whole one is not blamed."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from regild.describe.boot import read_boot
from regild.image.tree import Guest, Mount
from regild.image.volumes import Volume
from regild.prove.boot_chain import check_boot_chain
from tests.describe.guests import MemoryTree

VERSION = "6.1.0-9-amd64"
MENU = "/boot/grub/grub.cfg"
KERNEL = f"/boot/vmlinuz-{VERSION}"
INITRD = f"/boot/initrd.img-{VERSION}"
DEP = f"/lib/modules/{VERSION}/modules.dep"
MODULE = f"/lib/modules/{VERSION}/kernel/a.ko"
ENTRY = f"""menuentry 'Debian' {{
    linux {KERNEL} root=UUID=aaaa-bbbb ro quiet
    initrd {INITRD}
}}
"""
Files = dict[str, bytes | str]


def kernel(version: str = VERSION) -> bytes:
    """The few bytes of an x86 kernel that say which one it is."""
    content = bytearray(4096)
    content[0x202:0x206] = b"HdrS"
    content[0x20E:0x210] = (0x400).to_bytes(2, "little")
    content[0x600 : 0x600 + len(version)] = version.encode()
    return bytes(content)


def initrd(*names: str) -> bytes:
    """An initial RAM disk with empty files of these names."""
    out = b""
    for name in (*names, "TRAILER!!!"):
        text = name.encode() + b"\0"
        out += b"070701" + b"0" * 88 + b"%08X" % len(text) + b"0" * 8 + text
        out += bytes(-len(out) % 4)
    return gzip.compress(out)


def whole() -> Files:
    return {
        MENU: ENTRY,
        KERNEL: kernel(),
        INITRD: initrd("init", f"lib/modules/{VERSION}", f"lib/modules/{VERSION}/kernel/ext4.ko"),
        DEP: "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n",
        MODULE: "a",
        MODULE.replace("a.ko", "b.ko"): "b",
        f"/lib/modules/{VERSION}/modules.builtin": "kernel/fs/xfs/xfs.ko\n",
    }


def faults(files: Files, filesystem: str = "ext4", device: str = "") -> tuple[str, ...]:
    tree = MemoryTree(files)
    volume = Volume(1, "p1", 0, 1 << 30, "filesystem", filesystem, "AAAA-BBBB", "root", "")
    if device:
        volume = replace(volume, device=device, layer="LVM")
    guest = Guest(tree, (volume,), (Mount("/", volume, filesystem),), (), ())
    return check_boot_chain(guest, read_boot(tree).entries)


def test_a_whole_chain_has_no_fault() -> None:
    assert faults(whole()) == ()
    assert faults({MENU: "set timeout=1\n"}) == ()


def without(path: str) -> Callable[[Files], Files]:
    return lambda files: {name: text for name, text in files.items() if name != path}


def holding(path: str, content: bytes | str) -> Callable[[Files], Files]:
    return lambda files: {**files, path: content}


DAMAGE: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a module gone": (without(MODULE), "names kernel/a.ko, which is not there"),
    "a module not listed": (holding(DEP, "kernel/b.ko:\n"), "does not name kernel/a.ko"),
    "kernel gone": (without(KERNEL), "there is no kernel"),
    "another kernel": (holding(KERNEL, kernel("6.1.0-8-amd64")), "is Linux 6.1.0-8-amd64"),
    "initrd gone": (without(INITRD), "there is no initial RAM disk"),
    "initrd cut off": (holding(INITRD, whole()[INITRD][:60]), "is damaged"),
    "initrd of another kernel": (
        holding(INITRD, initrd("init", "lib/modules/5.10", "lib/modules/5.10/ext4.ko")),
        "holds no modules of Linux 6.1.0-9-amd64",
    ),
    "initrd without init": (
        holding(INITRD, initrd(f"lib/modules/{VERSION}", f"lib/modules/{VERSION}/ext4.ko")),
        "nothing to begin with",
    ),
    "initrd without the root's filesystem": (
        holding(INITRD, initrd("init", f"lib/modules/{VERSION}")),
        "cannot mount a root on ext4",
    ),
    "modules gone": (without(DEP), "there are no modules"),
    "modules not listed": (holding(DEP, ""), "depmod has not listed them"),
    "another root": (
        holding(MENU, ENTRY.replace("aaaa-bbbb", "cccc-dddd")),
        "and the guest lies on UUID=AAAA-BBBB",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str) -> None:
    broken, sentence = DAMAGE[damage]
    found = faults(broken(whole()))
    assert found and any(sentence in one for one in found), found
    assert all(one.startswith("the boot menu's 'Debian': ") for one in found)


def test_a_filesystem_that_is_built_in_needs_no_module() -> None:
    files = whole()
    assert faults(files, "xfs") == ()
    assert faults(files, "btrfs") != ()


def test_a_volume_of_its_own_for_boot_begins_there() -> None:
    files = {**whole(), MENU: ENTRY.replace("/boot/", "/")}
    assert faults(files) == ()


def test_another_machines_kernel_says_no_version_and_is_taken_by_its_name() -> None:
    assert faults({**whole(), KERNEL: b"\x1f\x8b" + bytes(2000)}) == ()


def test_a_root_in_lvm_has_its_name_and_its_tools() -> None:
    entry = ENTRY.replace("UUID=aaaa-bbbb", "/dev/mapper/vg-root")
    modules = [f"lib/modules/{VERSION}", f"lib/modules/{VERSION}/kernel/ext4.ko"]
    able = initrd("init", "sbin/lvm", *modules, f"lib/modules/{VERSION}/kernel/dm-mod.ko")
    files = {**whole(), MENU: entry, INITRD: able}
    assert faults(files, device="vg-root") == ()
    (told,) = faults({**files, INITRD: initrd("init", *modules)}, device="vg-root")
    assert "cannot put together the volumes of LVM" in told
    (told,) = faults(files, device="vg-other")
    assert "and the guest lies on /dev/mapper/vg-other" in told
