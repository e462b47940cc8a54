"""A guest of rpm that boots: this machine's own systemd wrapped into packages, two of Debian's
kernels in a package each, and a script that puts one into the boot menu as kernel-install does.

What the script stands in for is dracut and grubby of a distribution of rpm: it works on the booted
machine alone, and writes the options that it finds in /proc/cmdline into the new entry.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from demo.disk import BIOS_BOOT, Part, _write_bios_boot
from demo.recipe import MIB
from tests.change import rpm_apps
from tests.change.guests import guest_of
from tests.change.rpm_apps import (
    ROOT_UUID,
    URI,
    App,
    Golden,
    build_apps,
    make_image,
    make_key,
    make_tree,
    repository_of,
    sign,
    web,
)
from tests.change.rpm_guests import (
    HEAD,
    MANAGERS,
    ROOTS,
    SETTINGS,
    build_spec,
    filesystem,
    find_wrapped,
    kept,
)
from tests.image.mounted import mounted
from tests.journey.peers import raw_disk
from tests.journey.test_booted import Opened

SYSTEM = ("systemd", "systemd-sysv", "udev", "util-linux", "mount", "kmod")
MEBIBYTES = 1200
OPTIONS = f"root=UUID={ROOT_UUID} ro net.ifnames=0 console=tty0 console=ttyS0,115200"
VERSION = re.compile(r"/boot/vmlinuz-(.+)")

PUT = """\
#!/bin/sh
# What kernel-install, dracut and grubby do, as far as a boot loader sees it.
set -e
version=$1 options=$2
cp /usr/lib/modules/$version/vmlinuz /boot/vmlinuz-$version
cp /usr/lib/modules/$version/initrd /boot/initramfs-$version.img
mkdir -p /boot/loader/entries /boot/grub2
entry=/boot/loader/entries/wrapped-$version.conf
printf 'title Wrapped %s\\nversion %s\\n' $version $version >$entry
printf 'linux /boot/vmlinuz-%s\\ninitrd /boot/initramfs-%s.img\\n' $version $version >>$entry
echo "options $options" >>$entry
{
    echo 'set timeout=1'
    for one in $(ls /boot/loader/entries | sort -rV); do
        one=${one#wrapped-} one=${one%.conf}
        told=$(sed -n 's/^options //p' /boot/loader/entries/wrapped-$one.conf)
        echo "menuentry 'Wrapped $one' {"
        echo "    linux /boot/vmlinuz-$one $told"
        echo "    initrd /boot/initramfs-$one.img"
        echo '}'
    done
} >/boot/grub2/grub.cfg
"""
PUTTER = "/usr/libexec/put-kernel"


def find_booting(old: Path, new: Path) -> Golden:
    """The guest with the kernel of one of Debian's appliances, and a repository with another's."""
    wrapped = find_wrapped("rpm-booting-wrapped", SYSTEM)
    texts = [Path(__file__).read_bytes(), Path(rpm_apps.__file__).read_bytes()]
    recipe = f"{wrapped.name} {old.name} {new.name} {sha256(b''.join(texts)).hexdigest()}"
    return Golden(kept("rpm-booting", recipe, lambda folder: _build(folder, wrapped, old, new)))


def _build(folder: Path, wrapped: Path, old: Path, new: Path) -> None:
    golden, work = Golden(folder), folder / "work"
    for name in ("settings", "tree", "tools"):
        (work / name).mkdir(parents=True)
    golden.home.mkdir()
    golden.home.chmod(0o700)
    key = make_key(golden.home)
    own = {"/etc/yum.repos.d/wrapped.repo": rpm_apps.REPO, rpm_apps.KEY_PATH: key}
    own["/etc/fstab"] = f"UUID={ROOT_UUID} / ext4 defaults 0 1\n"
    made = [*sorted(wrapped.glob("*.rpm")), *filesystem(work / "settings", {**SETTINGS, **own})]
    version, kernel = _kernel(old, work / "kernel-old")
    made += [*kernel, *_tools(work / "tools"), *build_apps(work / "old", (web("1.0"),))]
    names = ["filesystem", *ROOTS, *MANAGERS, *SYSTEM, "kernel-tools", "kernel-core", "web"]
    make_tree(work / "tree", made, names, work, SITE.format(version=version, options=OPTIONS))
    make_image(work / "tree", golden.image, MEBIBYTES, first=2)
    _put_loader(golden.image, old, work)
    extra = App("extra", "1.0", {"/usr/share/extra/note": "extra"})
    fresh = [*build_apps(work / "new", (web("2.0"), extra)), *_kernel(new, work / "kernel-new")[1]]
    sign(golden.home, fresh)
    repository_of(golden.mirror / URI.removeprefix("http://"), fresh)
    shutil.rmtree(work)


SITE = f"""
chroot $1 {PUTTER} {{version}} '{{options}}'
"""


def _tools(folder: Path) -> list[Path]:
    (folder / "put").write_text(PUT)
    place = f"%{{buildroot}}{PUTTER}"
    made = (f"mkdir -p $(dirname {place})", f"cp {folder}/put {place}")
    head = HEAD.format(name="kernel-tools", version="1.0", release="1")
    listed = f"%attr(755,root,root) {PUTTER}"
    return build_spec(
        folder, "\n".join([head, "%description", "d", "%install", *made, "%files", listed, ""])
    )


def _kernel(appliance: Path, folder: Path) -> tuple[str, list[Path]]:
    """The kernel of an appliance of Debian's as a package of rpm, as kernel-core is one."""
    root = folder / "root"
    version = _take_kernel(appliance, root)
    upstream, _, rest = version.partition("-")
    place = f"/usr/lib/modules/{version}"
    head = HEAD.format(name="kernel-core", version=upstream, release=rest.split("-")[0])
    spec = [head, "Provides: installonlypkg(kernel)", "Requires: kernel-tools",
            "%description", "d", "%install", f"cp -a {root}/. %{{buildroot}}/", "%posttrans",
            "[ -d /proc/1 ] || exit 0",  # while the image is made
            "grep -qx systemd /proc/1/comm && [ -b /dev/vda ] || exit 1",
            f'exec {PUTTER} {version} "$(cat /proc/cmdline)"',
            "%files", place, f"%ghost /boot/vmlinuz-{version}",
            f"%ghost /boot/initramfs-{version}.img", ""]  # fmt: skip
    return version, build_spec(folder, "\n".join(spec))


def _take_kernel(appliance: Path, root: Path) -> str:
    """Copy kernel, initial RAM disk and modules out of an appliance; which version it is."""
    opened = Opened(appliance)
    try:
        (version,) = [found[1] for path in opened.paths if (found := VERSION.fullmatch(path))]
        modules = f"/usr/lib/modules/{version}"
        place = root / modules.lstrip("/")
        place.mkdir(parents=True)
        for path, inode in opened.paths.items():
            if path.startswith(f"{modules}/") and stat.S_ISREG(inode.mode):
                target = root / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(opened.content(path))
        (place / "vmlinuz").write_bytes(opened.content(f"/boot/vmlinuz-{version}"))
        (place / "initrd").write_bytes(opened.content(f"/boot/initrd.img-{version}"))
    finally:
        opened.close()
    return version


def _put_loader(image: Path, appliance: Path, work: Path) -> None:
    """GRUB of one of Debian's appliances before the partition; it reads /boot/grub2/grub.cfg."""
    whole = raw_disk(appliance, work / "whole.raw")
    offset = f"offset={guest_of(appliance).parts[0].offset}"
    with (
        tempfile.TemporaryDirectory(dir=work) as folder,
        mounted(whole, Path(folder), offset) as root,
    ):
        early = root / "tmp/early.cfg"
        early.write_text(
            f"search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub2\n"
            "configfile $prefix/grub.cfg\n"
        )
        line = ["chroot", str(root), "grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub2"]
        line += ["-c", "/tmp/early.cfg", "-o", "/tmp/core.img", "biosdisk", "configfile", "echo"]
        line += [
            "ext2",
            "gzio",
            "linux",
            "ls",
            "normal",
            "part_gpt",
            "search",
            "search_fs_uuid",
            "test",
        ]
        subprocess.run(line, check=True)
        boot = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
        core = (root / "tmp/core.img").read_bytes()
    whole.unlink()
    _write_bios_boot(image, Part("bios", BIOS_BOOT, MIB, MIB), boot, core)
