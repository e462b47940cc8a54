"""What lets a kernel be installed apart from its machine: initramfs and GRUB's menu, made once.

update-initramfs and update-grub are called by many packages, each time anew. While packages are
installed, stand-ins in a layer above the tree only write down that they were called. One last
command then does the work once (dracut's it refuses: that looks at the running machine). For it
grub-probe, grub-mkrelpath and blkid are stand-ins too, bound over the guest's own: they answer for
the guest's volumes, where the real ones would look at the devices and mounts of this machine.
None of it is ever recorded.
Source: grub-mkconfig_lib and 10_linux of GRUB 2.06; update-initramfs(8), mkinitramfs(8) and the
fsck hook of Debian 12; measured, docs/adr/0053.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from regild.change.plain import is_plain, read_plain
from regild.change.script import STATE, GuestCommand
from regild.change.tree import Part

INITRAMFS: Final = "/usr/sbin/update-initramfs"
MENU: Final = "/usr/sbin/update-grub"
DRACUT: Final = "/usr/bin/dracut"
PROBE: Final = "/usr/sbin/grub-probe"
BLKID: Final = "/usr/sbin/blkid"
MKRELPATH: Final = "/usr/bin/grub-mkrelpath"
SETTINGS: Final = "/etc/initramfs-tools"
REAL: Final = ".of-the-guest"
"""The guest's own program beside its stand-in."""

MARK: Final = "Shown while an image is changed offline"
SMALL: Final = 1 << 20
FILES_LIMIT: Final = 100
_UUID = re.compile(r"UUID=([0-9A-Za-z-]{4,36})\Z")
_DEVICE = re.compile(r"/dev/mapper/[0-9A-Za-z_][0-9A-Za-z+_.-]{0,250}\Z")
_GRUBS_NAMES: Final = {"ext3": "ext2", "ext4": "ext2", "vfat": "fat"}

_LATER = f"""\
#!/bin/sh
# {MARK}: the work is done once, when everything is in place.
case " $* " in
*" -d "* | *" --version "* | *" --help "* | *" --list-modules "*) exec {{place}}{REAL} "$@" ;;
esac
echo "$*" >> {STATE}/{{queue}}
"""

FIRST: Final = f"{STATE}/first"
"""The folder that comes first in the path of dpkg: a package that brings update-grub or
update-initramfs replaces the stand-in in its place, and what is called then would look at this
machine."""

_FIRST = f"""\
#!/bin/sh
# {MARK}: the work is done once, when everything is in place.
[ -x {{place}} ] || exit 0
case " $* " in
*" -d "* | *" --version "* | *" --help "*) exec {{place}} "$@" ;;
esac
echo "$*" >> {STATE}/{{queue}}
"""

_DEP = re.compile(rb"^([ \t]*MODULES[ \t]*=[ \t]*)[\"']?dep\b[\"']?", re.MULTILINE)

_FINISH = f"""\
set -e
if [ -s {STATE}/dracut ]; then
    echo "dracut would make the initial RAM disk of this machine; the guest has to be booted for it"
    exit 1
fi
real={INITRAMFS}
if grep -qs "{MARK}" $real; then
    real={INITRAMFS}{REAL}
elif [ -x $real ] && [ -e {STATE}/shown ]; then
    # initramfs-tools itself was replaced: what was made since then saw this machine's devices.
    $real -u -k all
    rm -f {STATE}/initramfs
fi
made=
if [ -s {STATE}/initramfs ]; then
    for version in $(sed -n 's/.*-k *\\([^ ]*\\).*/\\1/p' {STATE}/initramfs | sort -u); do
        [ "$version" != all ] && [ -e "/boot/vmlinuz-$version" ] || continue
        $real -c -k "$version"
        made="$made $version "
    done
    newest=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1)
    if grep -q -e '-k *all' {STATE}/initramfs; then
        $real -u -k all
    elif [ -n "$newest" ] && grep -qv -e '-k' {STATE}/initramfs; then
        case "$made" in *" $newest "*) ;; *) $real -u -k "$newest" ;; esac
    fi
fi
if [ -s {STATE}/menu ] && [ -e /boot/grub/grub.cfg ]; then
    grub-mkconfig -o /boot/grub/grub.cfg
fi
"""

FINISH: Final = GuestCommand(
    ("sh", "-c", _FINISH), "making initramfs and boot menu", stand_ins=True
)
"""Once, behind all packages; does nothing where nobody asked for it."""


def inject_boot_chain(layer: Path, tree: Path) -> bool:
    """Put the stand-ins that only write down into a layer that lies above the guest's tree.

    Whether update-initramfs is among them.
    """
    for place, queue in ((INITRAMFS, "initramfs"), (MENU, "menu"), (DRACUT, "dracut")):
        content = read_plain(tree, place, SMALL)
        if content is not None:
            _write(layer, place, _LATER.format(place=place, queue=queue).encode())
            _write(layer, place + REAL, content)
    return (layer / INITRAMFS.lstrip("/")).exists()


def write_first(folder: Path) -> None:
    """Put the stand-ins into the folder that is `FIRST` in the sandbox."""
    for place, queue in ((INITRAMFS, "initramfs"), (MENU, "menu")):
        name = Path(place).name
        _write(folder, name, _FIRST.format(place=place, queue=queue).encode())


def write_stand_ins(folder: Path, merged: Path, parts: tuple[Part, ...]) -> dict[str, Path]:
    """The stand-ins for what would look at this machine's devices, by the place they are for."""
    shown: dict[str, Path] = {}
    for place, content in (
        (PROBE, _answers(parts, _PROBED)),
        (BLKID, _answers(parts, _IDENTIFIED)),
        (MKRELPATH, _answers(parts, _RELATIVE)),
    ):
        if is_plain(merged, place):
            shown[place] = _write(folder, place, content.encode())
    for place in _settings(merged):
        text = read_plain(merged, place, SMALL)
        if text is not None and _DEP.search(text):
            shown[place] = _write(folder, place, _DEP.sub(rb"\1most", text))
    return shown


def dress_like(layer: Path, tree: Path) -> None:
    """Give the layer's folders the owners, modes and times of the tree's, which they hide."""
    for folder, _, _ in os.walk(layer, topdown=False):
        own = tree / Path(folder).relative_to(layer)
        if own.is_dir() and not own.is_symlink():
            status = own.stat()
            os.chown(folder, status.st_uid, status.st_gid)
            os.chmod(folder, stat.S_IMODE(status.st_mode))
            os.utime(folder, ns=(status.st_mtime_ns, status.st_mtime_ns))


def devices_of(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """The names below /dev of the guest's filesystems, which its scripts look for."""
    return tuple(dict.fromkeys(name for part in parts for name in _names(part)))


def _names(part: Part) -> tuple[str, ...]:
    """What a volume is called below /dev; a logical one's own name comes first."""
    own = (part.device,) if _DEVICE.match(part.device) else ()
    return (*own, f"/dev/disk/by-uuid/{_uuid(part)}") if _uuid(part) else ()


def _uuid(part: Part) -> str:
    found = _UUID.match(part.volume)
    return found[1] if found else ""


_PROBED = """\
target=fs place= device=
while [ $# -gt 0 ]; do
    case $1 in
    --target=*) target=${1#*=} ;;
    -t | --target) target=$2; shift ;;
    -m | --device-map) shift ;;
    -d | --device) device=yes ;;
    -*) ;;
    *) place=$1 ;;
    esac
    shift
done
[ -n "$device" ] || place=$(readlink -m -- "$place")
find_volume "$place" || { echo "grub-probe: $place is on no volume of the guest" >&2; exit 1; }
case $target in
device) echo "$name" ;;
fs_uuid) echo "$uuid" ;;
fs) echo "$grub" ;;
partmap) echo gpt; echo msdos ;;
drive) echo "(hd0)" ;;
abstraction) echo $layer ;;
cryptodisk_uuid | fs_label | *hint* | disk) ;;
*) exit 1 ;;
esac
"""

_IDENTIFIED = """\
token= place=
for word; do
    case $word in
    UUID=*) token=/dev/disk/by-uuid/${word#UUID=} ;;
    /dev/*) place=$word ;;
    esac
done
find_volume "${token:-$place}" || exit 2
case " $* " in
*" -o device "*) echo "$name" ;;
*" -s TYPE "* | *" --match-tag TYPE "*) echo "$fs" ;;
*" -s UUID "* | *" --match-tag UUID "*) echo "$uuid" ;;
*) echo "$name: UUID=\\"$uuid\\" TYPE=\\"$fs\\"" ;;
esac
"""


_RELATIVE = """\
for place; do :; done
place=$(readlink -m -- "$place")
find_volume "$place" || { echo "grub-mkrelpath: $place is on no volume of the guest" >&2; exit 1; }
place=${place#$above}
[ "$place" != / ] || place=
place=$prefix$place
echo "${place:-/}"
"""


def _answers(parts: tuple[Part, ...], rest: str) -> str:
    """A script that knows the guest's volumes, the deepest mount point first."""
    known = sorted((part for part in parts if _uuid(part)), key=lambda one: -len(one.mount))
    cases = [_case(part, " | ".join(_names(part))) for part in known]
    cases.append("    /dev/*) return 1 ;;")
    cases += [_case(part, _below(part.mount)) for part in known]
    places = "\n".join(cases)
    head = f"#!/bin/sh\n# {MARK}: answers for the guest's volumes, not this machine's.\n"
    find = f"find_volume() {{\n    case $1 in\n{places}\n    *) return 1 ;;\n    esac\n}}\n"
    return head + find + rest


def _case(part: Part, places: str) -> str:
    fs = part.filesystem
    told = f"uuid={_uuid(part)} fs={fs} grub={_GRUBS_NAMES.get(fs, fs)} name={_names(part)[0]}"
    layer = "lvm" if part.device else ""
    above = f"above='{_pattern(part.mount)}' prefix='{_pattern(part.prefix)}'"
    return f"    {places}) {told} layer={layer} {above} ;;"


def _below(mount: str) -> str:
    """The shell's pattern for a mount point and all below it; what is no plain letter fits any."""
    plain = _pattern(mount)
    return f"{plain or '/'} | {plain}/*"


def _pattern(mount: str) -> str:
    return "" if mount == "/" else re.sub(r"[^A-Za-z0-9/._@-]", "?", mount)


def _settings(tree: Path) -> Iterator[str]:
    """Where the guest speaks about its initramfs."""
    yield f"{SETTINGS}/initramfs.conf"
    folder = tree / SETTINGS.lstrip("/") / "conf.d"
    if folder.is_dir() and not folder.is_symlink():
        for name in sorted(os.listdir(folder))[:FILES_LIMIT]:
            yield f"{SETTINGS}/conf.d/{name}"


def _write(layer: Path, place: str, content: bytes) -> Path:
    path = layer / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path
